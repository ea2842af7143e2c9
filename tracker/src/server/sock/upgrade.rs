//! The HTTP request of a connection: who may become a WebSocket.

use std::sync::Arc;

use super::super::admin;
use super::super::core::Core;
use super::super::end::End;
use super::{Phase, Sock};
use crate::http::{self, Request, write_upgrade};
use crate::registry::{Denied, Prefix};
use crate::ws::accept_key;

impl Sock {
    /// Answers a request: opens the WebSocket, serves a page, or says why not.
    pub(super) fn answer_request(&mut self, request: &Request, core: &mut Core) -> Result<(), End> {
        if !request.upgrade || !self.viewers {
            if self.admin
                && matches!(request.method.as_str(), "GET" | "HEAD")
                && let Some(page) = admin::page(request, core)
            {
                let head_only = request.method == "HEAD";
                return self.respond_with(page.status, page.kind, "", &page.body, head_only, core);
            }
            return match self.viewers {
                true => self.respond(
                    426,
                    "Upgrade Required",
                    "Upgrade: websocket\r\n",
                    "this is a WebTorrent tracker: connect by WebSocket\n",
                    core,
                ),
                false => self.respond(404, "Not Found", "", "not found\n", core),
            };
        }
        let Some(key) = request.key.as_deref().filter(|key| key.len() == 24) else {
            return self.respond(400, "Bad Request", "", "Sec-WebSocket-Key is missing or malformed\n", core);
        };
        let settings = Arc::clone(&core.settings);
        if !settings.lists.origins.allows(request.origin.as_deref()) {
            return self.respond(403, "Forbidden", "", "this origin is not served\n", core);
        }
        if core.shared.is_draining() {
            return self.respond(503, "Service Unavailable", "Retry-After: 1\r\n", "stopping\n", core);
        }
        let client = request.client(self.ip, |ip| settings.lists.trusts(ip));
        self.proxied |= client != self.ip;
        self.ip = client;
        let limits = settings.config.limits.registry();
        if self.proxied && core.addresses.accept(core.now, self.ip, &settings.config.limits).is_err() {
            let body = "too many connections from this address\n";
            return self.respond(429, "Too Many Requests", "Retry-After: 30\r\n", body, core);
        }
        let entered = core.shared.admission().enter(Prefix::of(self.ip), limits.most_connections());
        match entered {
            Ok(()) => {}
            Err(Denied::Full) => {
                return self.respond(503, "Service Unavailable", "Retry-After: 30\r\n", "full\n", core);
            }
            Err(Denied::Address) => {
                let body = "too many connections from this address\n";
                return self.respond(429, "Too Many Requests", "Retry-After: 30\r\n", body, core);
            }
        }
        let Ok(conn) = core.registry.connect(core.now, self.ip) else {
            core.shared.admission().leave(Prefix::of(self.ip));
            return self.respond(503, "Service Unavailable", "Retry-After: 30\r\n", "full\n", core);
        };
        if let Some(token) = &request.token {
            core.registry.set_token(conn, token);
        }
        let region = core.settings.geo.region(self.ip);
        core.registry.set_region(conn, region);
        core.bind(conn, self.index);
        self.conn = Some(conn);
        *core.net.http.entry(101).or_default() += 1;
        write_upgrade(self.queue.buffer(&mut core.pool), &accept_key(key.as_bytes()));
        self.phase = Phase::Open;
        Ok(())
    }

    /// Answers with a few words and closes.
    pub(super) fn respond(
        &mut self,
        status: u16,
        text: &str,
        headers: &str,
        body: &str,
        core: &mut Core,
    ) -> Result<(), End> {
        let status_line = format!("{status} {text}");
        self.respond_with((status, &status_line), "text/plain; charset=utf-8", headers, body, false, core)
    }

    fn respond_with(
        &mut self,
        (status, line): (u16, &str),
        kind: &str,
        headers: &str,
        body: &str,
        head_only: bool,
        core: &mut Core,
    ) -> Result<(), End> {
        *core.net.http.entry(status).or_default() += 1;
        http::write_response(self.queue.buffer(&mut core.pool), line, headers, kind, body, head_only);
        self.start_closing(End::Http(status), core);
        Ok(())
    }
}
