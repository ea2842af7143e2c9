//! Connections that do not behave, beside honest ones at a steady rate.

use std::io;
use std::time::Duration;

use crate::args::Mode;
use crate::client::State;
use crate::message;
use crate::run::{Run, now};

/// Source addresses of those that do not behave begin here, far from those of the others.
const ROGUE_SOURCES: usize = 50_000;
/// The swarm of the one member that everybody aims at.
const VICTIM_SWARM: &str = "load-swarm-victim---";

impl Run<'_> {
    /// Which loopback address a connection comes from.
    pub(crate) fn source_of(&mut self, number: usize) -> usize {
        if number < self.first_rogue {
            return number / self.args.per_source;
        }
        self.rogue_connects += 1;
        match self.args.mode {
            Mode::Spread => ROGUE_SOURCES + self.rogue_connects % 10_000,
            // An address may have 64 connections.
            Mode::Slowloris => ROGUE_SOURCES + number % 100,
            _ => ROGUE_SOURCES,
        }
    }

    pub(crate) fn open_loop(&mut self) -> io::Result<()> {
        self.connect_all()?;
        if self.args.mode == Mode::OneReceiver
            && let Some(Some(victim)) = self.clients.get_mut(0)
        {
            victim.send(&message::announce_in(VICTIM_SWARM, 0, 1, 0, 0, ""));
            let _ = victim.flush();
        }
        if self.args.has_rogues() {
            for number in self.rogues() {
                self.add_rogue(number)?;
            }
        }
        self.turns_for(Duration::from_secs(1))?;
        self.paced(Duration::from_secs(self.args.warm_up))?;
        self.measure(|run| run.paced(Duration::from_secs(run.args.seconds)))?;
        self.turns_for(Duration::from_millis(500))
    }

    fn rogues(&self) -> std::ops::Range<usize> {
        self.first_rogue..self.first_rogue + self.args.rogue_connections()
    }

    fn add_rogue(&mut self, number: usize) -> io::Result<()> {
        self.add(number)?;
        if self.args.mode == Mode::Slowloris
            && let Some(Some(client)) = self.clients.get_mut(number)
        {
            client.dribbled = Some(0);
        }
        Ok(())
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
        if self.args.mode == Mode::Slowloris {
            return self.dribble();
        }
        const MOST_QUEUED: usize = 64 * 1024;
        for number in self.rogues() {
            let ready = match self.clients.get(number) {
                Some(Some(client)) => client.open && client.queued() < MOST_QUEUED,
                // Closed by the tracker: try again.
                _ => {
                    self.add_rogue(number)?;
                    false
                }
            };
            match self.args.mode {
                Mode::Churn | Mode::Spread => {
                    if let Some(place) = self.clients.get_mut(number) {
                        *place = None;
                    }
                    self.add_rogue(number)?;
                }
                _ if !ready => {}
                Mode::Garbage => {
                    let text = "{\"action\":\"announce\",\"info_hash\":7,\"offers\":[null,[[[[]]]]]}";
                    self.send_times(number, text, 20);
                }
                Mode::Bytes => {
                    let text = format!("{{\"action\":\"announce\",\"x\":\"{}\"}}", "x".repeat(60_000));
                    self.send_times(number, &text, 1);
                }
                Mode::OneReceiver => {
                    // Seeders are not matched with each other: the victim is the only one who takes offers.
                    let text = message::announce_in(VICTIM_SWARM, number, 0, 10, 0, &self.offer);
                    self.send_times(number, &text, 1);
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

    fn send_times(&mut self, number: usize, text: &str, times: usize) {
        if let Some(Some(client)) = self.clients.get_mut(number) {
            for _ in 0..times {
                client.send(text);
            }
            if client.flush() == State::Gone {
                self.lose(number);
            }
        }
    }

    /// Another byte of each slow handshake, once a second; those that were closed begin again.
    fn dribble(&mut self) -> io::Result<()> {
        if self.dribbled_at.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.dribbled_at = now();
        for number in self.rogues() {
            let state = match self.clients.get_mut(number) {
                Some(Some(client)) => client.dribble(),
                _ => State::Gone,
            };
            if state == State::Gone {
                self.lose(number);
                self.add_rogue(number)?;
            }
        }
        Ok(())
    }
}
