//! What other threads ask of a worker, and what it logs.

use hlswarm::time::Span;
use std::sync::Arc;

use rand::RngExt;

use super::super::end::End;
use super::super::registry_limits;
use super::super::shared::Settings;
use super::{Command, Worker};
use crate::registry::ConnId;

impl Worker {
    pub(super) fn run_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Reload(settings) => self.reload(settings),
                Command::Drain => self.drain(),
                Command::Stop => self.stop(),
            }
        }
    }

    fn reload(&mut self, settings: Arc<Settings>) {
        self.core.registry.set_limits(registry_limits(&settings));
        self.core.registry.set_allowed(settings.lists.info_hashes.clone());
        self.core
            .registry
            .set_tokens(settings.lists.secrets.clone(), settings.config.access.token_connections);
        for listening in self.listeners.values_mut() {
            if listening.role.tls.is_some() && settings.tls.is_some() {
                listening.role.tls.clone_from(&settings.tls);
            }
        }
        self.core.settings = settings;
    }

    /// Stops accepting; connections close one by one until the drain time is over.
    fn drain(&mut self) {
        self.listeners.retain(|_, listening| !listening.role.viewers);
        self.core.registry.leave_cluster(&mut self.core.out);
        let span = Span::from_secs(self.core.settings.config.server.drain_secs);
        let stop_at = self.core.now + span;
        self.stop_at = Some(stop_at);
        for index in 0..self.sockets.len() as u32 {
            let delay = span.mul_f64(self.core.rng.random_range(0.0..1.0));
            if let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) {
                sock.drain_at(self.core.now + delay);
                self.plan(index);
            }
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.listeners.clear();
        self.core.registry.leave_cluster(&mut self.core.out);
        // A moment for the close frames to leave.
        self.stop_at = Some(self.core.now + Span::from_millis(500));
        for index in 0..self.sockets.len() as u32 {
            if let Some(sock) = self.sockets.get_mut(index as usize).and_then(Option::as_mut) {
                sock.close(1001, End::Stopping, &mut self.core);
                self.mark_dirty(index);
            }
        }
    }

    pub(super) fn log_refusal(&mut self, conn: ConnId, why: &'static str) {
        let rate = self.core.settings.config.log.lines_per_second;
        if let Some(held_back) = self.core.gate.pass(self.core.now, why, rate) {
            let ip = self
                .core
                .socket_of(conn)
                .and_then(|index| self.sockets.get(index as usize)?.as_ref())
                .map(|sock| sock.ip().to_string());
            tracing::info!(%conn, ip, why, held_back, "refused a message");
        }
    }

    pub(super) fn log_gated(&mut self, kind: &'static str, message: &std::fmt::Arguments<'_>) {
        let rate = self.core.settings.config.log.lines_per_second;
        if let Some(held_back) = self.core.gate.pass(self.core.now, kind, rate) {
            tracing::warn!(kind, held_back, "{message}");
        }
    }
}
