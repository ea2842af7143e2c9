//! One thread that serves connections: a turn takes what the kernel has, lets the registry work, and writes once.

mod accepting;
mod cluster;
mod commands;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use hlswarm::time::{Span, Time};
use mio::{Events, Poll, Token};

use super::clock::Clock;
use super::core::Core;
use super::end::End;
use super::listen::Listener;
use super::shared::Settings;
use super::sock::{Push, Role, Sock};
use super::timers::Timers;
use crate::registry::Bucket;

/// What other threads ask of a worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Use other settings from now on.
    Reload(Arc<Settings>),
    /// Take no more connections and close those that are there, spread over the drain time.
    Drain,
    /// Close everything now.
    Stop,
}

/// Wakes the worker for a [`Command`].
pub(super) const WAKER: Token = Token(0);
const FIRST_LISTENER: usize = 1;
const FIRST_SOCKET: usize = 1 << 16;
/// Reads of one connection in one turn: others wait.
const READS_PER_TURN: usize = 4;
/// Handshakes that are worked on in one turn: those who are open wait for no more. A TLS handshake costs about 0.2 ms.
const HANDSHAKES_PER_TURN: usize = 8;
const READ_BUFFER_BYTES: usize = 128 * 1024;

struct Listening {
    listener: Listener,
    role: Role,
    /// Whether the kernel may hold connections that were not accepted.
    waiting: bool,
}

/// One thread that serves connections.
pub(super) struct Worker {
    core: Core,
    poll: Poll,
    commands: Receiver<Command>,
    /// By token: a drain takes some away.
    listeners: BTreeMap<usize, Listening>,
    sockets: Vec<Option<Box<Sock>>>,
    free: Vec<u32>,
    /// Sockets with something to write.
    dirty: Vec<u32>,
    /// Sockets with something to read that had to wait.
    again: Vec<u32>,
    timers: Timers,
    accepts: Bucket,
    accept_at: Time,
    buffer: Vec<u8>,
    last_second: u64,
    /// Whether frames had to wait for the next turn.
    heard_more: bool,
    /// When the drain ends.
    stop_at: Option<Time>,
    /// All connections were told.
    stopping: bool,
}

impl Worker {
    pub(super) fn new(
        core: Core,
        poll: Poll,
        commands: Receiver<Command>,
        listeners: Vec<(Listener, Role)>,
    ) -> io::Result<Worker> {
        let mut listening = BTreeMap::new();
        for (place, (mut listener, role)) in listeners.into_iter().enumerate() {
            let token = FIRST_LISTENER + place;
            listener.register(poll.registry(), Token(token))?;
            listening.insert(token, Listening { listener, role, waiting: true });
        }
        Ok(Worker {
            core,
            poll,
            commands,
            listeners: listening,
            sockets: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            timers: Timers::default(),
            accepts: Bucket::default(),
            accept_at: Time::ZERO,
            buffer: vec![0; READ_BUFFER_BYTES],
            last_second: 0,
            heard_more: false,
            stop_at: None,
            stopping: false,
        })
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout().into();
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            self.core.now = self.core.shared.clock.now();
            let started = self.core.now;
            let mut ready = std::mem::take(&mut self.again);
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token) if token >= FIRST_SOCKET => {
                        let index = (token - FIRST_SOCKET) as u32;
                        if event.is_writable() {
                            self.mark_dirty(index);
                        }
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            ready.push(index);
                        }
                    }
                    Token(token) => {
                        if let Some(listening) = self.listeners.get_mut(&token) {
                            listening.waiting = true;
                        }
                    }
                }
            }
            self.hear();
            self.read_all(ready);
            self.run_commands();
            self.each_second();
            self.tick_cluster();
            self.accept();
            self.deliver();
            self.core.bus.flush();
            self.flush();
            if !events.is_empty() {
                self.core.net.turns.add(self.core.shared.clock.now() - started);
            }
            if let Some(stop_at) = self.stop_at
                && (self.core.open == 0 || self.core.now >= stop_at)
            {
                if self.core.open > 0 && !self.stopping {
                    // Planned by the second, so some are still there when the drain ends: they are told as well.
                    self.stop();
                    continue;
                }
                self.core.publish();
                return Ok(());
            }
        }
    }

    /// Reads what has come: first of those that are open, whose answers then leave, and then a few handshakes, so that a
    /// join storm delays nobody who is there.
    fn read_all(&mut self, mut ready: Vec<u32>) {
        let mut opening = Vec::new();
        for index in ready.drain(..) {
            let sock = self.sockets.get(index as usize).and_then(Option::as_ref);
            if sock.is_some_and(|sock| sock.is_opening()) {
                opening.push(index);
                continue;
            }
            self.read(index);
            self.deliver();
        }
        if !opening.is_empty() {
            self.flush();
        }
        for (place, index) in opening.into_iter().enumerate() {
            if place < HANDSHAKES_PER_TURN {
                self.read(index);
                self.deliver();
            } else {
                self.again.push(index);
            }
        }
        if self.again.is_empty() {
            // Keeps the allocation.
            self.again = ready;
        }
    }

    fn timeout(&self) -> Span {
        let now = self.core.shared.clock.now();
        if !self.again.is_empty() || self.heard_more {
            return Span::ZERO;
        }
        let mut timeout = Timers::until_next_second(now);
        if let Some(due) = self.core.registry.cluster_due() {
            // Rounded up: the poll counts in milliseconds, and would wake too early again and again.
            timeout = timeout.min((due - now) + Span::from_millis(1));
        }
        if self.listeners.values().any(|listening| listening.waiting) {
            timeout = timeout.min(self.accept_at - now);
        }
        timeout
    }

    /// Reads what a connection sent and lets it act on it.
    fn read(&mut self, index: u32) {
        let queue_bytes = self.core.settings.config.limits.queue_bytes;
        for _ in 0..READS_PER_TURN {
            let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) else { return };
            if sock.paused_until.is_some_and(|until| until > self.core.now) || sock.is_clogged(queue_bytes) {
                sock.unread = true;
                return self.plan(index);
            }
            sock.unread = false;
            let end = match sock.stream.read(&mut self.buffer) {
                Ok(0) => End::Peer,
                Ok(read) => {
                    let whole = read == self.buffer.len();
                    let bytes = self.buffer.get_mut(..read).unwrap_or_default();
                    match sock.receive(bytes, &mut self.core) {
                        Ok(()) if sock.is_leaving() => {
                            self.deliver();
                            self.say_goodbye(index);
                            if whole {
                                self.again.push(index);
                            }
                            return;
                        }
                        Ok(()) => {
                            let planned = sock.end().is_some() || sock.paused_until.is_some();
                            self.mark_dirty(index);
                            if planned {
                                self.plan(index);
                            }
                            if whole {
                                continue;
                            }
                            return;
                        }
                        Err(end) => end,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => End::Broken(error.to_string()),
            };
            return self.remove(index, end);
        }
        // It has more, but it is the others' turn.
        self.again.push(index);
    }

    fn say_goodbye(&mut self, index: u32) {
        if let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) {
            sock.say_goodbye(&mut self.core);
        }
        self.mark_dirty(index);
        self.plan(index);
    }

    /// Hands what the registry wants done to the sockets.
    fn deliver(&mut self) {
        if self.core.out.is_empty() && self.core.out.refusals().next().is_none() {
            return;
        }
        let mut out = std::mem::take(&mut self.core.out);
        let queue_bytes = self.core.settings.config.limits.queue_bytes;
        let mut overflowing = Vec::new();
        for (conn, kind, text) in out.sends() {
            let Some(index) = self.core.socket_of(conn) else { continue };
            let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) else { continue };
            if sock.conn() != Some(conn) {
                continue;
            }
            match sock.push(kind, text, queue_bytes, &mut self.core.pool) {
                Push::Queued if sock.dirty => {}
                Push::Queued => {
                    sock.dirty = true;
                    self.dirty.push(index);
                }
                Push::Dropped => self.core.net.slow_drops += 1,
                Push::Overflow => overflowing.push(index),
            }
        }
        for (to, frame) in out.frames() {
            self.core.bus.send(to, frame);
        }
        for (conn, why) in out.refusals() {
            self.log_refusal(conn, why);
        }
        for (conn, reason) in out.closes() {
            let Some(index) = self.core.socket_of(conn) else { continue };
            let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) else { continue };
            if sock.conn() == Some(conn) {
                // 1008: the message breaks the server's policy.
                sock.close(1008, End::Registry(reason), &mut self.core);
                self.mark_dirty(index);
                self.plan(index);
            }
        }
        for index in overflowing {
            self.remove(index, End::Slow);
        }
        out.clear();
        self.core.out = out;
    }

    fn flush(&mut self) {
        let queue_bytes = self.core.settings.config.limits.queue_bytes;
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) else { continue };
            sock.dirty = false;
            match sock.flush(&mut self.core) {
                Ok(()) => {
                    if sock.unread && !sock.is_clogged(queue_bytes) && sock.paused_until.is_none() {
                        self.again.push(index);
                    }
                    if sock.has_output() || sock.end().is_some() {
                        self.plan(index);
                    }
                }
                Err(error) => self.remove(index, End::Broken(error.to_string())),
            }
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    fn mark_dirty(&mut self, index: u32) {
        if let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut)
            && !sock.dirty
            && sock.has_output()
        {
            sock.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Plans the next look at a socket, unless an earlier one is planned.
    fn plan(&mut self, index: u32) {
        if let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) {
            let second =
                Timers::second(sock.next_check(&self.core)).max(self.core.now.as_micros() / 1_000_000 + 1);
            if sock.planned == 0 || second < sock.planned {
                sock.planned = second;
                self.timers.plan(second, index);
            }
        }
    }

    fn each_second(&mut self) {
        let second = self.core.now.as_micros() / 1_000_000;
        if second == self.last_second {
            return;
        }
        self.last_second = second;
        self.core.registry.set_unix_time(self.core.now, Clock::since_1970().into());
        self.core.registry.tick(self.core.now, &mut self.core.out);
        self.core.addresses.tick(self.core.now);
        while let Some((second, sockets)) = self.timers.pop(self.core.now) {
            for index in sockets {
                self.check(second, index);
            }
        }
        self.core.publish();
    }

    fn check(&mut self, second: u64, index: u32) {
        let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) else { return };
        if sock.planned != second {
            return;
        }
        sock.planned = 0;
        match sock.check(&mut self.core) {
            Ok(next) => {
                if sock.paused_until.is_some_and(|until| until <= self.core.now) {
                    sock.paused_until = None;
                    if sock.unread {
                        self.again.push(index);
                    }
                }
                let second = Timers::second(next).max(second + 1);
                sock.planned = second;
                self.timers.plan(second, index);
                self.mark_dirty(index);
            }
            Err(end) => self.remove(index, end),
        }
    }

    fn remove(&mut self, index: u32, end: End) {
        let Some(mut sock) = self.sockets.get_mut(index as usize).and_then(Option::take) else { return };
        // A last word (a TLS alert, a close frame) goes out if it can.
        let _ = sock.flush(&mut self.core);
        sock.leave(&mut self.core);
        let end = sock.end().cloned().unwrap_or(end);
        *self.core.net.closed.entry(end.label()).or_default() += 1;
        self.core.open -= 1;
        self.free.push(index);
        if end.is_abuse() {
            self.log_gated(end.label(), &format_args!("closed {}: {end}", sock.ip()));
        } else {
            tracing::debug!(ip = %sock.ip(), reason = %end, "closed");
        }
    }
}
