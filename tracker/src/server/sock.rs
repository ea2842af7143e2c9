//! One connection from accept to close: PROXY header, TLS, HTTP, WebSocket.

mod upgrade;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use hlswarm::time::{Span, Time};
use rustls::ServerConfig;

use super::core::Core;
use super::end::End;
use super::queue::{Flushed, Queue};
use super::stream::Stream;
use super::tls::{Received, Session};
use crate::http::{self, Head};
use crate::out::SendKind;
use crate::proxy::{self, ProxyHeader};
use crate::registry::{Bucket, ConnId, Prefix};
use crate::ws::{Decoder, Message, Opcode, write_close, write_frame};

/// Where a connection is in its life.
#[derive(Debug)]
enum Phase {
    /// Waiting for a PROXY header; the bytes so far.
    Proxy(Vec<u8>),
    /// TLS handshake.
    Tls,
    /// Waiting for an HTTP request; the bytes so far.
    Http(Vec<u8>),
    /// A WebSocket.
    Open,
    /// It closes, or broke the protocol: what its messages before that caused is sent first, then the code.
    Leaving(Box<(u16, End)>),
    /// Everything is said; what is queued goes out.
    Closing,
}

/// What a listener does with its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Role {
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether viewers connect here.
    pub(super) viewers: bool,
    /// Whether health and metrics are served here.
    pub(super) admin: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Sock {
    pub(super) stream: Stream,
    index: u32,
    ip: IpAddr,
    viewers: bool,
    admin: bool,
    /// Whether `ip` is not the other end's address but what a proxy that is believed said.
    proxied: bool,
    phase: Phase,
    tls: Option<Box<Session>>,
    decoder: Decoder,
    queue: Queue,
    conn: Option<ConnId>,
    /// The current phase ends by then.
    deadline: Time,
    last_heard: Time,
    unanswered_pings: u8,
    stalled_since: Option<Time>,
    bytes: Bucket,
    /// Nothing is read before: it sent too many bytes.
    pub(super) paused_until: Option<Time>,
    /// Whether the kernel may hold bytes that were not read.
    pub(super) unread: bool,
    /// The second in which it is looked at again; 0: none.
    pub(super) planned: u64,
    /// Whether it is among those to be flushed.
    pub(super) dirty: bool,
    /// When it is to be closed because the tracker stops.
    drain_at: Option<Time>,
    /// Why it ends, once that is known and the rest is only sending.
    end: Option<End>,
    finished: bool,
}

/// How long a close may take once it is said.
const CLOSE_TIME: Span = Span::from_secs(2);
/// Pings that may go unanswered.
const MOST_UNANSWERED_PINGS: u8 = 2;
/// Replies and answers are queued for a slow reader up to this many times `queue_bytes`.
const QUEUE_HARD_FACTOR: usize = 4;

impl Sock {
    pub(super) fn new(
        stream: Stream,
        index: u32,
        ip: IpAddr,
        role: &Role,
        core: &Core,
    ) -> Result<Sock, rustls::Error> {
        let limits = &core.settings.config.limits;
        let tls = role.tls.clone().map(Session::new).transpose()?.map(Box::new);
        let (phase, secs) = if core.settings.config.server.proxy_protocol && role.viewers {
            (Phase::Proxy(Vec::new()), limits.tls_handshake_secs)
        } else if tls.is_some() {
            (Phase::Tls, limits.tls_handshake_secs)
        } else {
            (Phase::Http(Vec::new()), limits.upgrade_secs)
        };
        Ok(Sock {
            stream,
            index,
            ip,
            viewers: role.viewers,
            admin: role.admin,
            proxied: false,
            phase,
            tls,
            decoder: Decoder::default(),
            queue: Queue::default(),
            conn: None,
            deadline: core.now + Span::from_secs(secs),
            last_heard: core.now,
            unanswered_pings: 0,
            stalled_since: None,
            bytes: Bucket::default(),
            paused_until: None,
            unread: false,
            planned: 0,
            dirty: false,
            drain_at: None,
            end: None,
            finished: false,
        })
    }

    pub(super) const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether it is on its way to a WebSocket: handshakes cost much and may wait.
    pub(super) const fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Proxy(_) | Phase::Tls | Phase::Http(_))
    }

    pub(super) const fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// Why it ends, if that is decided.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        self.queue.len() > 0
    }

    /// Takes bytes as they were read.
    pub(super) fn receive(&mut self, bytes: &mut [u8], core: &mut Core) -> Result<(), End> {
        self.last_heard = core.now;
        self.unanswered_pings = 0;
        core.net.bytes_in += bytes.len() as u64;
        let debt = self.bytes.charge(
            core.now,
            core.settings.config.limits.bytes_per_connection(),
            bytes.len() as u64,
        );
        // Before that, the address may be that of a proxy for many.
        let debt = match self.phase {
            Phase::Open => {
                debt.max(core.addresses.charge(core.now, self.ip, &core.settings.config.limits, bytes.len()))
            }
            _ => debt,
        };
        self.paused_until = (debt > Span::ZERO).then(|| core.now + debt);
        if let Phase::Proxy(_) = self.phase {
            return self.receive_proxy(bytes, core);
        }
        self.receive_raw(bytes, core)
    }

    fn receive_proxy(&mut self, bytes: &mut [u8], core: &mut Core) -> Result<(), End> {
        let Phase::Proxy(head) = &mut self.phase else { return Ok(()) };
        head.extend_from_slice(bytes);
        match proxy::parse(head) {
            ProxyHeader::Incomplete => Ok(()),
            ProxyHeader::Malformed => Err(End::Handshake("no PROXY protocol header")),
            ProxyHeader::Complete { client, bytes: used } => {
                let mut rest = head.split_off(used);
                if let Some(client) = client {
                    self.ip = client;
                    self.proxied = true;
                }
                self.phase = if self.tls.is_some() { Phase::Tls } else { Phase::Http(Vec::new()) };
                self.receive_raw(&mut rest, core)
            }
        }
    }

    fn receive_raw(&mut self, bytes: &mut [u8], core: &mut Core) -> Result<(), End> {
        let Some(tls) = &mut self.tls else { return self.receive_plain(bytes, core) };
        let mut plain = std::mem::take(&mut core.plain);
        plain.clear();
        let received = tls.receive(bytes, self.queue.wire(), |part| plain.extend_from_slice(part));
        if let (Phase::Tls, true) = (&self.phase, tls.is_ready()) {
            core.net.tls_handshakes += 1;
            self.phase = Phase::Http(Vec::new());
            self.deadline = core.now + Span::from_secs(core.settings.config.limits.upgrade_secs);
        }
        let result = self.receive_plain(&plain, core);
        core.plain = plain;
        result?;
        match received {
            Ok(Received::Open) => Ok(()),
            Ok(Received::Closed) => Err(End::Peer),
            Err(error) if matches!(self.phase, Phase::Tls) => {
                tracing::trace!(ip = %self.ip, %error, "TLS handshake failed");
                Err(End::Handshake("no TLS handshake"))
            }
            Err(error) => Err(End::Broken(error.to_string())),
        }
    }

    fn receive_plain(&mut self, bytes: &[u8], core: &mut Core) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.phase {
            Phase::Open => self.receive_frames(bytes, core),
            Phase::Http(head) => {
                head.extend_from_slice(bytes);
                let most = core.settings.config.limits.request_bytes;
                match http::parse(head) {
                    Head::Complete(request, used) if used <= most => {
                        let rest = head.split_off(used);
                        self.answer_request(&request, core)?;
                        self.receive_plain(&rest, core)
                    }
                    Head::Malformed => self.respond(400, "Bad Request", "", "not an HTTP request\n", core),
                    Head::Incomplete if head.len() <= most => Ok(()),
                    _ => {
                        self.respond(431, "Request Header Fields Too Large", "", "headers too large\n", core)
                    }
                }
            }
            // Said after the end, or before TLS is up: nobody listens.
            Phase::Leaving(_) | Phase::Closing | Phase::Proxy(_) | Phase::Tls => Ok(()),
        }
    }

    fn receive_frames(&mut self, mut bytes: &[u8], core: &mut Core) -> Result<(), End> {
        let max_bytes = core.settings.config.limits.message_bytes;
        let Some(conn) = self.conn else { return Ok(()) };
        loop {
            let message = match self.decoder.next(&mut bytes, &mut core.scratch, max_bytes) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(violation) => {
                    self.phase = Phase::Leaving(Box::new((violation.code(), End::Violation(violation))));
                    return Ok(());
                }
            };
            match message {
                Message::Text(text) => {
                    core.registry.handle(core.now, &mut core.rng, conn, text, &mut core.out);
                }
                Message::Binary(bytes) => {
                    // Some clients send text as binary. What is not text is refused as no JSON.
                    let text = std::str::from_utf8(bytes).unwrap_or_default();
                    core.registry.handle(core.now, &mut core.rng, conn, text, &mut core.out);
                }
                Message::Ping(payload) => {
                    if self.queue.len() <= core.settings.config.limits.queue_bytes {
                        write_frame(self.queue.buffer(&mut core.pool), Opcode::Pong, payload);
                    }
                }
                Message::Pong => {}
                Message::Close(code) => {
                    self.phase = Phase::Leaving(Box::new((code.unwrap_or(1000), End::Peer)));
                    return Ok(());
                }
            }
        }
    }

    /// Whether it wants to close as soon as it was told what its messages caused.
    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_))
    }

    /// Says the last word of one that leaves.
    pub(super) fn say_goodbye(&mut self, core: &mut Core) {
        let Phase::Leaving(leaving) = std::mem::replace(&mut self.phase, Phase::Closing) else { return };
        let (code, end) = *leaving;
        let reason = if end == End::Peer { String::new() } else { end.to_string() };
        write_close(self.queue.buffer(&mut core.pool), code, &reason);
        self.start_closing(end, core);
    }

    /// Queues a message of the registry.
    pub(super) fn push(
        &mut self,
        kind: SendKind,
        text: &str,
        queue_bytes: usize,
        pool: &mut super::queue::Pool,
    ) -> Push {
        if self.end.is_some() {
            return Push::Dropped;
        }
        let waiting = self.queue.len();
        let relayed = matches!(kind, SendKind::Offer | SendKind::Candidates);
        if relayed && waiting > queue_bytes {
            return Push::Dropped;
        }
        if waiting > queue_bytes.saturating_mul(QUEUE_HARD_FACTOR) {
            return Push::Overflow;
        }
        write_frame(self.queue.buffer(pool), Opcode::Text, text.as_bytes());
        Push::Queued
    }

    /// Whether so much waits for it that no more of its messages should be read.
    pub(super) fn is_clogged(&self, queue_bytes: usize) -> bool {
        self.queue.len() > queue_bytes
    }

    /// Closes it at `at`, because the tracker stops.
    pub(super) fn drain_at(&mut self, at: Time) {
        self.drain_at = Some(at);
    }

    /// Says goodbye with a WebSocket close code, if there is a WebSocket.
    pub(super) fn close(&mut self, code: u16, end: End, core: &mut Core) {
        if matches!(self.phase, Phase::Open) {
            write_close(self.queue.buffer(&mut core.pool), code, &end.to_string());
        }
        self.start_closing(end, core);
    }

    fn start_closing(&mut self, end: End, core: &mut Core) {
        if self.end.is_none() {
            self.end = Some(end);
            self.phase = Phase::Closing;
            self.deadline = core.now + CLOSE_TIME;
            self.leave(core);
        }
    }

    /// Leaves the registry.
    pub(super) fn leave(&mut self, core: &mut Core) {
        if let Some(conn) = self.conn.take() {
            core.leave(conn, Prefix::of(self.ip));
        }
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self, core: &mut Core) -> io::Result<()> {
        let before = self.queue.len();
        let flushed = self.queue.flush(&mut self.stream, self.tls.as_deref_mut(), &mut core.pool)?;
        core.net.bytes_out += before.saturating_sub(self.queue.len()) as u64;
        match flushed {
            Flushed::All => {
                self.stalled_since = None;
                if matches!(self.phase, Phase::Closing) && !self.finished {
                    self.finished = true;
                    self.stream.finish();
                }
            }
            Flushed::Some => self.stalled_since = Some(core.now),
            Flushed::Nothing => {
                self.stalled_since.get_or_insert(core.now);
            }
        }
        Ok(())
    }

    /// Looks whether something is overdue. Returns when to look again.
    pub(super) fn check(&mut self, core: &mut Core) -> Result<Time, End> {
        let what = match self.phase {
            Phase::Proxy(_) => "PROXY header",
            Phase::Tls => "TLS handshake",
            Phase::Http(_) => "HTTP request",
            Phase::Leaving(_) | Phase::Closing => {
                return if core.now >= self.deadline { Err(End::Peer) } else { Ok(self.deadline) };
            }
            Phase::Open => return self.check_open(core),
        };
        if core.now >= self.deadline { Err(End::Timeout(what)) } else { Ok(self.deadline) }
    }

    fn check_open(&mut self, core: &mut Core) -> Result<Time, End> {
        if self.drain_at.is_some_and(|at| core.now >= at) {
            // 1001: going away.
            self.close(1001, End::Stopping, core);
            return Ok(self.deadline);
        }
        let limits = &core.settings.config.limits;
        let mut next =
            self.last_heard + Span::from_secs(limits.ping_secs) * u32::from(self.unanswered_pings + 1);
        if core.now >= next {
            if self.unanswered_pings == MOST_UNANSWERED_PINGS {
                return Err(End::Timeout("answer to pings"));
            }
            self.unanswered_pings += 1;
            next = next + Span::from_secs(limits.ping_secs);
            write_frame(self.queue.buffer(&mut core.pool), Opcode::Ping, b"");
        }
        if let Some(since) = self.stalled_since {
            let patience = since + Span::from_secs(limits.stalled_secs);
            if core.now >= patience {
                return Err(End::Slow);
            }
            next = next.min(patience);
        }
        if let Some(until) = self.paused_until {
            next = next.min(until.max(core.now));
        }
        Ok(self.drain_at.map_or(next, |at| next.min(at)))
    }

    /// When it must be looked at, after something happened.
    pub(super) fn next_check(&self, core: &Core) -> Time {
        let limits = &core.settings.config.limits;
        let mut next = match self.phase {
            Phase::Open => self.last_heard + Span::from_secs(limits.ping_secs),
            _ => self.deadline,
        };
        if let Some(since) = self.stalled_since {
            next = next.min(since + Span::from_secs(limits.stalled_secs));
        }
        if let Some(until) = self.paused_until {
            next = next.min(until);
        }
        self.drain_at.map_or(next, |at| next.min(at))
    }
}

/// What became of a message for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// It will be sent.
    Queued,
    /// The receiver is too slow for it, or going.
    Dropped,
    /// The receiver is so slow that it must go.
    Overflow,
}
