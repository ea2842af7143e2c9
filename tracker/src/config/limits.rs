//! The table of bounds for clients.

use hlswarm::time::Span;

use super::ConfigError;
use super::settings::settings;
use crate::protocol::SdpBounds;
use crate::registry::{Limits, Rate};

settings! {
    /// Bounds for clients. Rates are sustained numbers per second after a burst; a rate of 0 is no limit.
    pub struct LimitSettings {
        /// When members should announce again.
        interval_secs: u64 = 120,
        /// A member's offers in one swarm are passed on at most this often, after a burst of `announce_burst` announces.
        /// Earlier announces are answered all the same. 0: no limit.
        min_interval_secs: u64 = 5,
        /// Announces in a row whose offers are passed on before `min_interval_secs` applies.
        announce_burst: u32 = 6,
        /// A member that does not announce for this long is forgotten.
        peer_age_secs: u64 = 180,
        /// An offer is answered within this time or never.
        offer_age_secs: u64 = 120,
        /// A new connection that does not announce within this time is closed.
        first_announce_secs: u64 = 30,
        /// Longest message, in bytes. Longer ones close the connection (1009).
        message_bytes: usize = 65536,
        /// Longest session description, in bytes.
        sdp_bytes: usize = 8192,
        /// Most candidates in one session description.
        sdp_candidates: usize = 20,
        /// Offers that are used of one announce.
        offers_per_announce: usize = 10,
        /// Unanswered offers that are remembered per receiving connection; the oldest makes room.
        pending_offers: usize = 64,
        /// Offers that one connection receives.
        received_offers_per_second: f64 = 5.0,
        /// Its burst.
        received_offers_burst: u32 = 60,
        /// Offers of one connection that are passed on, in all its swarms.
        offers_per_connection_per_second: f64 = 20.0,
        /// Its burst.
        offers_per_connection_burst: u32 = 600,
        /// Offers of one IP address (IPv6: of one /64) that are passed on. Counted by each worker.
        offers_per_ip_per_second: f64 = 400.0,
        /// Its burst.
        offers_per_ip_burst: u32 = 8000,
        /// Messages that are worked on per connection; others are refused with a reply.
        messages_per_connection_per_second: f64 = 10.0,
        /// Its burst.
        messages_per_connection_burst: u32 = 600,
        /// Refused messages per connection; more close it.
        refusals_per_connection_per_second: f64 = 1.0,
        /// Its burst.
        refusals_per_connection_burst: u32 = 600,
        /// Bytes received per connection; more are read only as time passes.
        bytes_per_connection_per_second: f64 = 131072.0,
        /// Its burst.
        bytes_per_connection_burst: u32 = 4194304,
        /// Bytes received per IP address (IPv6: per /64), likewise. Counted by each worker.
        bytes_per_ip_per_second: f64 = 1048576.0,
        /// Its burst.
        bytes_per_ip_burst: u32 = 33554432,
        /// Announces per IP address (IPv6: per /64). Generous, because many viewers share one address behind carrier NAT.
        /// Counted by each worker.
        announces_per_ip_per_second: f64 = 200.0,
        /// Its burst.
        announces_per_ip_burst: u32 = 4000,
        /// Announces per IP address and swarm, likewise.
        announces_per_ip_and_swarm_per_second: f64 = 100.0,
        /// Its burst.
        announces_per_ip_and_swarm_burst: u32 = 2000,
        /// Connections per IP address (IPv6: per /64), over all workers. 0: no limit.
        connections_per_ip: usize = 64,
        /// Connections per neighbourhood (IPv4 /24, IPv6 /48), over all workers: whoever has an IPv6 /48 has 65,536 /64s.
        /// 0: no limit.
        connections_per_net: usize = 8192,
        /// Connections in all. More are told 503 and when to try again, before the upgrade. 0: no limit.
        connections: usize = 100000,
        /// Connections accepted per second by each worker; more wait in the kernel's queue. Paces join storms. 0: no limit.
        accepts_per_second: f64 = 2000.0,
        /// Its burst.
        accepts_burst: u32 = 500,
        /// Connections accepted per second from one IP address (IPv6: from one /64); more are closed unserved, which costs
        /// next to nothing. Proxies that are trusted are not counted, but those behind them are. 0: no limit.
        accepts_per_ip_per_second: f64 = 10.0,
        /// Its burst. When carrier NAT makes you raise `connections_per_ip`, raise it as well.
        accepts_per_ip_burst: u32 = 128,
        /// Members of all swarms. Who comes later is told that the tracker is full.
        peers: usize = 400000,
        /// Swarms in all.
        swarms: usize = 100000,
        /// Swarms that one connection is in.
        swarms_per_connection: usize = 8,
        /// Swarms in one scrape.
        swarms_per_scrape: usize = 64,
        /// How many of 100 offers go to members of the same neighbourhood (IPv4 /24, IPv6 /48), network or country, the
        /// nearest first, if there are any. The others go to anybody, so that a swarm does not fall apart.
        near_percent: usize = 40,
        /// So many neighbourhoods (IPv4 /24, IPv6 /48) must report a peer for bad data before the swarm is closed to it for a
        /// while. Only reports of viewers that the tracker introduced to it count. 0: reports are not taken.
        reports_to_ban: usize = 3,
        /// And so many of 100 neighbourhoods that it was introduced to lately, so that a few liars ban nobody.
        report_percent: usize = 25,
        /// A report counts for this long.
        report_secs: u64 = 600,
        /// The swarm stays closed for this long.
        ban_secs: u64 = 600,
        /// It is closed to the peer's address as well unless more connections than these share it: behind carrier NAT the
        /// others are innocent.
        ban_shared: usize = 4,
        /// Whether candidates found after an offer or answer are relayed between clients that take them.
        trickle: bool = true,
        /// For how long after the answer.
        trickle_secs: u64 = 60,
        /// How many per direction.
        trickle_candidates: usize = 20,
        /// Length of one, in bytes.
        trickle_candidate_bytes: usize = 512,
        /// Time for the TLS handshake, and for a PROXY header.
        tls_handshake_secs: u64 = 5,
        /// Time for the HTTP request that upgrades the connection.
        upgrade_secs: u64 = 5,
        /// Longest HTTP request head, in bytes.
        request_bytes: usize = 8192,
        /// Idle connections are pinged this often; two missed answers close them.
        ping_secs: u64 = 45,
        /// Bytes queued for a slow reader before offers to it are dropped. Replies and answers are queued up to four times
        /// as much; then it is closed.
        queue_bytes: usize = 98304,
        /// A reader that takes nothing for this long is closed.
        stalled_secs: u64 = 10,
    }
}

impl LimitSettings {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let positive: [(&str, u64); 15] = [
            ("interval_secs", self.interval_secs),
            ("offer_age_secs", self.offer_age_secs),
            ("first_announce_secs", self.first_announce_secs),
            ("tls_handshake_secs", self.tls_handshake_secs),
            ("upgrade_secs", self.upgrade_secs),
            ("ping_secs", self.ping_secs),
            ("stalled_secs", self.stalled_secs),
            ("sdp_bytes", self.sdp_bytes as u64),
            ("offers_per_announce", self.offers_per_announce as u64),
            ("pending_offers", self.pending_offers as u64),
            ("peers", self.peers as u64),
            ("swarms", self.swarms as u64),
            ("swarms_per_connection", self.swarms_per_connection as u64),
            ("swarms_per_scrape", self.swarms_per_scrape as u64),
            ("announce_burst", u64::from(self.announce_burst)),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(ConfigError::value(&format!("limits.{name}"), 0, "at least 1"));
            }
        }
        let within = |name: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(ConfigError::value(&format!("limits.{name}"), value, format_args!("{least} to {most}")))
        };
        within("message_bytes", self.message_bytes, 1024, 16 << 20)?;
        within("request_bytes", self.request_bytes, 256, 65536)?;
        within("near_percent", self.near_percent, 0, 100)?;
        within("reports_to_ban", self.reports_to_ban, 0, 64)?;
        within("report_percent", self.report_percent, 0, 100)?;
        within("queue_bytes", self.queue_bytes, 4096, 1 << 30)?;
        if self.peer_age_secs <= self.interval_secs {
            return Err(ConfigError::value(
                "limits.peer_age_secs",
                self.peer_age_secs,
                format_args!("more than limits.interval_secs, which is {}", self.interval_secs),
            ));
        }
        for (name, value) in [
            ("received_offers_per_second", self.received_offers_per_second),
            ("offers_per_connection_per_second", self.offers_per_connection_per_second),
            ("offers_per_ip_per_second", self.offers_per_ip_per_second),
            ("bytes_per_ip_per_second", self.bytes_per_ip_per_second),
            ("accepts_per_ip_per_second", self.accepts_per_ip_per_second),
            ("messages_per_connection_per_second", self.messages_per_connection_per_second),
            ("refusals_per_connection_per_second", self.refusals_per_connection_per_second),
            ("bytes_per_connection_per_second", self.bytes_per_connection_per_second),
            ("announces_per_ip_per_second", self.announces_per_ip_per_second),
            ("announces_per_ip_and_swarm_per_second", self.announces_per_ip_and_swarm_per_second),
            ("accepts_per_second", self.accepts_per_second),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(ConfigError::value(&format!("limits.{name}"), value, "a number of at least 0"));
            }
        }
        Ok(())
    }

    /// The bounds as the registry takes them.
    pub fn registry(&self) -> Limits {
        let unlimited = |count: usize| if count == 0 { usize::MAX } else { count };
        Limits {
            interval: Span::from_secs(self.interval_secs),
            min_interval: Span::from_secs(self.min_interval_secs),
            announce_burst: self.announce_burst,
            peer_age: Span::from_secs(self.peer_age_secs),
            offer_age: Span::from_secs(self.offer_age_secs),
            first_announce: Span::from_secs(self.first_announce_secs),
            offers_per_announce: self.offers_per_announce,
            sdp: SdpBounds { bytes: self.sdp_bytes, candidates: self.sdp_candidates },
            pending_offers: self.pending_offers,
            received_offers: rate(self.received_offers_per_second, self.received_offers_burst),
            offers_per_connection: rate(
                self.offers_per_connection_per_second,
                self.offers_per_connection_burst,
            ),
            offers_per_ip: rate(self.offers_per_ip_per_second, self.offers_per_ip_burst),
            messages_per_connection: rate(
                self.messages_per_connection_per_second,
                self.messages_per_connection_burst,
            ),
            refusals_per_connection: rate(
                self.refusals_per_connection_per_second,
                self.refusals_per_connection_burst,
            ),
            announces_per_ip: rate(self.announces_per_ip_per_second, self.announces_per_ip_burst),
            announces_per_ip_and_swarm: rate(
                self.announces_per_ip_and_swarm_per_second,
                self.announces_per_ip_and_swarm_burst,
            ),
            connections_per_ip: unlimited(self.connections_per_ip),
            connections_per_net: unlimited(self.connections_per_net),
            connections: unlimited(self.connections),
            peers: self.peers,
            swarms: self.swarms,
            swarms_per_connection: self.swarms_per_connection,
            swarms_per_scrape: self.swarms_per_scrape,
            near_percent: self.near_percent,
            reports_to_ban: self.reports_to_ban,
            report_percent: self.report_percent,
            report_age: Span::from_secs(self.report_secs),
            ban_age: Span::from_secs(self.ban_secs),
            ban_shared: self.ban_shared,
            trickle: self.trickle,
            trickle_age: Span::from_secs(self.trickle_secs),
            trickle_candidates: self.trickle_candidates,
            trickle_candidate_bytes: self.trickle_candidate_bytes,
        }
    }

    /// How fast bytes are taken from one connection.
    pub fn bytes_per_connection(&self) -> Rate {
        rate(self.bytes_per_connection_per_second, self.bytes_per_connection_burst)
    }

    /// How fast bytes are taken from one address.
    pub fn bytes_per_ip(&self) -> Rate {
        rate(self.bytes_per_ip_per_second, self.bytes_per_ip_burst)
    }

    /// How fast connections of one address are accepted.
    pub fn accepts_per_ip(&self) -> Rate {
        rate(self.accepts_per_ip_per_second, self.accepts_per_ip_burst)
    }

    /// How fast connections are accepted.
    pub fn accepts(&self) -> Rate {
        rate(self.accepts_per_second, self.accepts_burst)
    }
}

const fn rate(per_second: f64, burst: u32) -> Rate {
    Rate { per_second, burst }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_and_the_registry_have_the_same_defaults() {
        assert_eq!(LimitSettings::default().registry(), Limits::default());
    }
}
