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

struct Run<'a> {
    args: &'a Args,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    clients: Vec<Option<Client>>,
    buffer: Vec<u8>,
    offer: String,
    answer: String,
    start: Instant,
    report: Report,
    replies_us: Vec<u64>,
    round_trips_us: Vec<u64>,
    /// Which connections announce again as soon as they may.
    closed_loop: bool,
    measuring: bool,
    /// The first of the connections that do not behave.
    first_rogue: usize,
}

#[allow(clippy::disallowed_methods, reason = "this measures real time")]
fn now() -> Instant {
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
    };
    match args.mode {
        Mode::Closed => run.closed()?,
        Mode::Idle => run.idle()?,
        Mode::Storm => run.storm()?,
        Mode::Burst => run.burst()?,
        Mode::Open | Mode::Flood | Mode::Garbage | Mode::SlowReaders | Mode::Churn => run.open_loop()?,
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

    fn add(&mut self, number: usize) -> io::Result<()> {
        let source = number / self.args.per_source;
        let mut client = Client::connect(self.args.target, source, self.tls.as_ref())?;
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
    fn connect_all(&mut self) -> io::Result<()> {
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

    fn announce(&mut self, number: usize, offers: usize) {
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

    fn lose(&mut self, number: usize) {
        if let Some(place) = self.clients.get_mut(number)
            && place.take().is_some()
            && number < self.first_rogue
        {
            self.report.lost_connections += 1;
        }
    }

    /// One look at all sockets.
    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(2048);
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

    fn turns_for(&mut self, span: Duration) -> io::Result<()> {
        let end = now() + span;
        while now() < end {
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Measures while `work` runs.
    fn measure(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
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

    fn open_loop(&mut self) -> io::Result<()> {
        self.connect_all()?;
        if self.args.has_rogues() {
            for number in self.first_rogue..self.first_rogue + self.args.rogues {
                self.add(number)?;
            }
        }
        self.turns_for(Duration::from_secs(1))?;
        self.paced(Duration::from_secs(self.args.warm_up))?;
        self.measure(|run| run.paced(Duration::from_secs(run.args.seconds)))?;
        self.turns_for(Duration::from_millis(500))
    }

    /// Announces at the rate of the arguments, while the rogues do what they do.
    fn paced(&mut self, span: Duration) -> io::Result<()> {
        let started = now();
        let mut announced = 0usize;
        let mut rogue_time = started;
        while started.elapsed() < span {
            let due = (started.elapsed().as_secs_f64() * self.args.rate) as usize;
            while announced < due {
                self.announce(announced % self.args.connections, self.args.offers);
                announced += 1;
            }
            let next = Duration::from_secs_f64((announced + 1) as f64 / self.args.rate);
            let wait = next.saturating_sub(started.elapsed()).min(Duration::from_millis(1));
            self.turn(wait)?;
            if self.args.has_rogues() && rogue_time.elapsed() >= Duration::from_millis(1) {
                rogue_time = now();
                self.misbehave()?;
            }
        }
        Ok(())
    }

    fn misbehave(&mut self) -> io::Result<()> {
        const MOST_QUEUED: usize = 64 * 1024;
        for number in self.first_rogue..self.first_rogue + self.args.rogues {
            let ready = match self.clients.get(number) {
                Some(Some(client)) => client.open && client.queued() < MOST_QUEUED,
                // Closed by the tracker: try again.
                _ => {
                    self.add(number)?;
                    false
                }
            };
            match self.args.mode {
                Mode::Churn => {
                    if let Some(place) = self.clients.get_mut(number) {
                        *place = None;
                    }
                    self.add(number)?;
                }
                _ if !ready => {}
                Mode::Garbage => {
                    if let Some(Some(client)) = self.clients.get_mut(number) {
                        for _ in 0..20 {
                            client
                                .send("{\"action\":\"announce\",\"info_hash\":7,\"offers\":[null,[[[[]]]]]}");
                        }
                        let _ = client.flush();
                    }
                }
                Mode::SlowReaders => {
                    if let Some(Some(client)) = self.clients.get_mut(number) {
                        client.deaf = true;
                    }
                    self.announce(number, self.args.offers);
                }
                _ => {
                    for _ in 0..10 {
                        self.announce(number, self.args.offers);
                    }
                }
            }
        }
        Ok(())
    }
}
