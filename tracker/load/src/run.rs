//! The runs.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rustls::ClientConfig;

use crate::args::{Args, Mode};
use crate::client::{Client, State};
use crate::message::{self, Received};
use crate::process;
use crate::report::{Report, percentiles};
use crate::tls;

const BURST: usize = 500;
/// Connections that are opened at once.
const OPENING: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Run<'a> {
    pub(crate) args: &'a Args,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    pub(crate) clients: Vec<Option<Client>>,
    buffer: Vec<u8>,
    pub(crate) offer: String,
    answer: String,
    start: Instant,
    report: Report,
    replies_us: Vec<u64>,
    round_trips_us: Vec<u64>,
    /// Which connections announce again as soon as they may.
    closed_loop: bool,
    measuring: bool,
    /// The first of the connections that do not behave.
    pub(crate) first_rogue: usize,
    /// How many of their connections were opened.
    pub(crate) rogue_connects: usize,
    /// When they last sent a byte of a slow handshake.
    pub(crate) dribbled_at: Instant,
}

#[allow(clippy::disallowed_methods, reason = "this measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs what `args` say.
pub(crate) fn run(args: &Args) -> io::Result<Report> {
    let tls = if args.tls { Some(tls::config().map_err(io::Error::other)?) } else { None };
    let mut run = Run {
        args,
        tls,
        poll: Poll::new()?,
        clients: Vec::new(),
        buffer: vec![0; 256 * 1024],
        offer: message::description(args.offer_bytes),
        answer: message::description(args.answer_bytes),
        start: now(),
        report: Report {
            mode: format!("{:?}", args.mode).to_lowercase(),
            tls: args.tls,
            connections: args.connections,
            ..Report::default()
        },
        replies_us: Vec::new(),
        round_trips_us: Vec::new(),
        closed_loop: false,
        measuring: false,
        first_rogue: args.connections,
        rogue_connects: 0,
        dribbled_at: now(),
    };
    match args.mode {
        Mode::Closed => run.closed()?,
        Mode::Idle => run.idle()?,
        Mode::Storm => run.storm()?,
        Mode::Burst => run.burst()?,
        _ => run.open_loop()?,
    }
    run.report.reply_ms = percentiles(&mut run.replies_us);
    run.report.round_trip_ms = percentiles(&mut run.round_trips_us);
    Ok(run.report)
}

impl Run<'_> {
    fn us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn usage(&self) -> Option<process::Usage> {
        self.args.pid.and_then(process::usage)
    }

    pub(crate) fn add(&mut self, number: usize) -> io::Result<()> {
        let source = self.source_of(number);
        let targets = &self.args.target;
        // The command line has at least one.
        let target = targets.get(number % targets.len().max(1)).ok_or(io::ErrorKind::InvalidInput)?;
        let mut client = Client::connect(*target, source, self.tls.as_ref())?;
        client.register(self.poll.registry(), Token(number))?;
        if self.clients.len() <= number {
            self.clients.resize_with(number + 1, || None);
        }
        if let Some(place) = self.clients.get_mut(number) {
            *place = Some(client);
        }
        Ok(())
    }

    /// Opens connections and lets each announce once, a few at a time.
    pub(crate) fn connect_all(&mut self) -> io::Result<()> {
        let deadline = now() + PATIENCE;
        let mut next = 0;
        let mut announced = 0;
        while announced < self.args.connections {
            while next < self.args.connections && next < announced + OPENING {
                self.add(next)?;
                next += 1;
            }
            self.turn(Duration::from_millis(10))?;
            while let Some(Some(client)) = self.clients.get(announced) {
                if !client.open {
                    break;
                }
                self.announce(announced, 0);
                announced += 1;
            }
            if now() > deadline || self.report.lost_connections > 0 {
                return Err(io::Error::other(format!("only {announced} connections could be opened")));
            }
        }
        Ok(())
    }

    pub(crate) fn announce(&mut self, number: usize, offers: usize) {
        let stamp = self.us();
        let text = message::announce(number, self.args.swarm_size, offers, stamp, &self.offer);
        if let Some(Some(client)) = self.clients.get_mut(number) {
            client.announced_us = stamp;
            client.waiting = true;
            client.send(&text);
            if self.measuring && number < self.first_rogue {
                self.report.announces += 1;
                self.report.offers_sent += offers as u64;
            }
            if client.flush() == State::Gone {
                self.lose(number);
            }
        }
    }

    pub(crate) fn lose(&mut self, number: usize) {
        if let Some(place) = self.clients.get_mut(number)
            && place.take().is_some()
            && number < self.first_rogue
        {
            self.report.lost_connections += 1;
        }
    }

    /// One look at all sockets.
    pub(crate) fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(2048);
        let timeout = if self.args.busy_poll { Duration::ZERO } else { timeout };
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &events {
            self.serve(event.token().0);
        }
        Ok(())
    }

    fn serve(&mut self, number: usize) {
        let now_us = self.us();
        let Some(Some(client)) = self.clients.get_mut(number) else { return };
        let (report, args) = (&mut self.report, self.args);
        let (replies, round_trips) = (&mut self.replies_us, &mut self.round_trips_us);
        let (measuring, answer) = (self.measuring && number < self.first_rogue, &self.answer);
        let mut replied = 0;
        let state = client.read(&mut self.buffer, |output, text| match message::read(text) {
            Some(Received::Reply) => replied += 1,
            Some(Received::Failure) => {
                replied += 1;
                report.failures += u64::from(measuring);
            }
            Some(Received::Offer { offer_id, peer }) => {
                report.offers_received += u64::from(measuring);
                let reply = format!(
                    "{{\"action\":\"announce\",\"info_hash\":\"{}\",\"peer_id\":\"{}\",\"to_peer_id\":\"{peer}\",\
                     \"answer\":{{\"type\":\"answer\",\"sdp\":\"{answer}\"}},\"offer_id\":\"{offer_id}\"}}",
                    message::swarm(number, args.swarm_size),
                    message::peer(number)
                );
                message::push_frame(output, reply.as_bytes());
            }
            Some(Received::Answer { stamp }) if measuring => {
                report.answers_received += 1;
                round_trips.push(now_us.saturating_sub(stamp));
            }
            Some(Received::Answer { .. }) | None => {}
        });
        if replied > 0 && client.waiting {
            client.waiting = false;
            if measuring {
                replies.push(now_us.saturating_sub(client.announced_us));
            }
        }
        report.replies += if measuring { replied } else { 0 };
        if state == State::Gone || client.flush() == State::Gone {
            return self.lose(number);
        }
        if self.closed_loop && replied > 0 {
            self.announce(number, self.args.offers);
        }
    }

    pub(crate) fn turns_for(&mut self, span: Duration) -> io::Result<()> {
        let end = now() + span;
        while now() < end {
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Measures while `work` runs.
    pub(crate) fn measure(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let before = self.usage();
        let started = now();
        self.measuring = true;
        work(self)?;
        self.report.seconds = started.elapsed().as_secs_f64();
        let after = self.usage();
        self.report.add_usage(before, after);
        Ok(())
    }

    fn closed(&mut self) -> io::Result<()> {
        self.connect_all()?;
        self.turns_for(Duration::from_secs(1))?;
        self.closed_loop = true;
        for number in 0..self.args.connections {
            self.announce(number, self.args.offers);
        }
        self.turns_for(Duration::from_secs(self.args.warm_up))?;
        self.measure(|run| run.turns_for(Duration::from_secs(run.args.seconds)))?;
        // What is under way comes home: offers sent are offers received unless the tracker drops them.
        self.closed_loop = false;
        self.turns_for(Duration::from_millis(500))
    }

    fn idle(&mut self) -> io::Result<()> {
        let before = self.usage();
        self.connect_all()?;
        self.turns_for(Duration::from_secs(self.args.warm_up + 2))?;
        let after = self.usage();
        if let (Some(before), Some(after)) = (before, after) {
            let grown = after.resident_bytes.saturating_sub(before.resident_bytes);
            self.report.bytes_per_connection = Some(grown as f64 / self.args.connections as f64);
        }
        self.measure(|run| run.turns_for(Duration::from_secs(run.args.seconds)))
    }

    fn storm(&mut self) -> io::Result<()> {
        const AT_ONCE: usize = 200;
        self.first_rogue = 0;
        self.measure(|run| {
            let end = now() + Duration::from_secs(run.args.seconds);
            for slot in 0..AT_ONCE {
                run.add(slot)?;
            }
            while now() < end {
                run.turn(Duration::from_millis(5))?;
                for slot in 0..AT_ONCE {
                    let Some(place) = run.clients.get_mut(slot) else { continue };
                    let done = place.as_ref().is_none_or(|client| client.open);
                    if done {
                        run.report.accepts += u64::from(place.take().is_some());
                        run.add(slot)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn burst(&mut self) -> io::Result<()> {
        self.connect_all()?;
        self.turns_for(Duration::from_millis(500))?;
        self.measure(|run| {
            let stamp = run.us();
            let text = message::announce(0, run.args.swarm_size, 1, stamp, &run.offer);
            if let Some(Some(client)) = run.clients.get_mut(0) {
                for _ in 0..BURST {
                    client.send(&text);
                }
                client.waiting = true;
                client.announced_us = stamp;
            }
            run.report.announces = BURST as u64;
            run.serve(0);
            run.turns_for(Duration::from_secs(run.args.seconds))
        })
    }
}
