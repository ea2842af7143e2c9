//! Accepting: paced, a few in a turn, and not from addresses that storm.

use hlswarm::time::Span;
use std::io;
use std::net::IpAddr;

use mio::Token;

use super::super::listen::NO_DESCRIPTORS_PAUSE;
use super::super::sock::{Role, Sock};
use super::super::stream::Stream;
use super::{FIRST_LISTENER, FIRST_SOCKET, Worker};

/// Connections that may be on their way to the upgrade beside those that are open.
const OPENING_CONNECTIONS: usize = 4096;
/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 32;

impl Worker {
    pub(super) fn accept(&mut self) {
        if self.core.now < self.accept_at {
            return;
        }
        let last = self.listeners.keys().next_back().copied().unwrap_or(0);
        let mut left = ACCEPTS_PER_TURN;
        for token in FIRST_LISTENER..=last {
            while let Some(listening) = self.listeners.get_mut(&token) {
                if !listening.waiting {
                    break;
                }
                if left == 0 {
                    return;
                }
                left -= 1;
                if let Err(wait) =
                    self.accepts.take(self.core.now, self.core.settings.config.limits.accepts())
                {
                    self.accept_at = self.core.now + wait.max(Span::from_millis(1));
                    return;
                }
                match listening.listener.accept() {
                    Ok((stream, ip)) => {
                        let role = listening.role.clone();
                        self.add(stream, ip, &role);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listening.waiting = false,
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::Interrupted
                                | io::ErrorKind::ConnectionAborted
                                | io::ErrorKind::ConnectionReset
                        ) => {}
                    Err(error) => {
                        // Out of file descriptors or memory: the kernel's queue holds the others meanwhile.
                        self.log_gated("accept", &format_args!("cannot accept a connection: {error}"));
                        self.accept_at = self.core.now + NO_DESCRIPTORS_PAUSE;
                        return;
                    }
                }
            }
        }
    }

    /// Whether an address connects so fast that it is not served. Of those behind a proxy this is asked once their
    /// address is known.
    fn is_storming(&mut self, stream: &Stream, ip: IpAddr, role: &Role) -> bool {
        let settings = &self.core.settings;
        let is_proxy =
            settings.config.server.proxy_protocol || stream.is_local() || settings.lists.trusts(ip);
        role.viewers
            && !is_proxy
            && self.core.addresses.accept(self.core.now, ip, &settings.config.limits).is_err()
    }

    fn add(&mut self, mut stream: Stream, ip: IpAddr, role: &Role) {
        self.core.net.accepted += 1;
        if self.is_storming(&stream, ip, role) {
            *self.core.net.closed.entry("storm").or_default() += 1;
            self.log_gated(
                "storm",
                &format_args!("closed {ip}: too many connections at once from this address"),
            );
            // Others need not wait for it.
            self.accepts.give_back(self.core.settings.config.limits.accepts());
            return;
        }
        let most = self.core.settings.config.limits.registry().connections;
        if self.core.open >= most.saturating_add(OPENING_CONNECTIONS) {
            *self.core.net.closed.entry("overload").or_default() += 1;
            return;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.sockets.push(None);
            (self.sockets.len() - 1) as u32
        });
        let sock = stream
            .register(self.poll.registry(), Token(FIRST_SOCKET + index as usize))
            .and_then(|()| Sock::new(stream, index, ip, role, &self.core).map_err(io::Error::other));
        match sock {
            Ok(sock) => {
                self.core.open += 1;
                if let Some(place) = self.sockets.get_mut(index as usize) {
                    *place = Some(Box::new(sock));
                }
                self.plan(index);
            }
            Err(error) => {
                self.free.push(index);
                self.log_gated("accept", &format_args!("cannot serve a connection: {error}"));
            }
        }
    }
}
