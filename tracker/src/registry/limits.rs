//! How much the registry takes from anybody.

use hlswarm::signal::message;
use hlswarm::time::Span;

use super::admission::MostConnections;
use super::rate::Rate;
use crate::protocol::SdpBounds;

/// Bounds for clients. Each default is generous for viewers and small for abuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// When members should announce again. Default 120 s.
    pub interval: Span,
    /// Offers of one member in one swarm are passed on at most this often, after a burst of
    /// [`announce_burst`](Limits::announce_burst). Earlier announces are answered, and their offers dropped.
    /// Default 5 s.
    pub min_interval: Span,
    /// How many announces in a row may carry offers before `min_interval` applies. Default 6.
    pub announce_burst: u32,
    /// A member that does not announce for this long is forgotten. Default 180 s.
    pub peer_age: Span,
    /// An offer is answered within this time or never. Default 120 s.
    pub offer_age: Span,
    /// A new connection announces within this time. Default 30 s.
    pub first_announce: Span,
    /// Offers passed on of one announce. Default 10.
    pub offers_per_announce: usize,
    /// What a session description may be at most. Default 8 KiB with 20 candidates.
    pub sdp: SdpBounds,
    /// Unanswered offers remembered per receiving connection; the oldest makes room. Default 64.
    pub pending_offers: usize,
    /// Offers that one connection receives, in all its swarms. Default 5 a second, burst 60.
    pub received_offers: Rate,
    /// Offers of one connection that are passed on, in all its swarms. Default 20 a second, burst 600.
    pub offers_per_connection: Rate,
    /// Offers of one IP address (IPv6: per /64) that are passed on. Default 400 a second, burst 8000.
    pub offers_per_ip: Rate,
    /// Messages that are worked on per connection. Default 10 a second, burst 600.
    pub messages_per_connection: Rate,
    /// Refused messages per connection before it is closed. Default 1 a second, burst 600.
    pub refusals_per_connection: Rate,
    /// Announces per IP address (IPv6: per /64). Default 200 a second, burst 4000.
    pub announces_per_ip: Rate,
    /// Announces per IP address and swarm. Default 100 a second, burst 2000.
    pub announces_per_ip_and_swarm: Rate,
    /// Connections per IP address (IPv6: per /64). Default 64.
    pub connections_per_ip: usize,
    /// Connections per neighbourhood (IPv4 /24, IPv6 /48). Default 8192.
    pub connections_per_net: usize,
    /// Connections in all. Default 100,000.
    pub connections: usize,
    /// Members of all swarms. Default 400,000.
    pub peers: usize,
    /// Swarms in all. Default 100,000.
    pub swarms: usize,
    /// Swarms that one connection is in. Default 8.
    pub swarms_per_connection: usize,
    /// Swarms in one scrape. Default 64.
    pub swarms_per_scrape: usize,
    /// How many of 100 offers go to members of the same neighbourhood (IPv4 /24, IPv6 /48), if there are any: they are
    /// likely to have a short way to each other. The others go to anybody. Default 40.
    pub near_percent: usize,
    /// So many neighbourhoods (IPv4 /24, IPv6 /48) must report a peer for bad data before it is kept out of the swarm.
    /// Zero: reports are not taken. Default 3.
    pub reports_to_ban: usize,
    /// And so many of 100 neighbourhoods that it was introduced to lately. Default 25.
    pub report_percent: usize,
    /// A report counts for this long. Default 600 s.
    pub report_age: Span,
    /// Who was reported is kept out for this long. Default 600 s.
    pub ban_age: Span,
    /// The address is kept out as well if no more than so many connections share it. Default 4.
    pub ban_shared: usize,
    /// Whether candidates found later are relayed. Default true.
    pub trickle: bool,
    /// Candidates are relayed for this long after the answer. Default 60 s.
    pub trickle_age: Span,
    /// Candidates relayed per direction of one answered offer. Default 20.
    pub trickle_candidates: usize,
    /// Length of one trickled candidate, in bytes. Default 512.
    pub trickle_candidate_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            interval: Span::from_secs(120),
            min_interval: Span::from_secs(5),
            announce_burst: 6,
            peer_age: Span::from_secs(180),
            offer_age: Span::from_secs(120),
            first_announce: Span::from_secs(30),
            offers_per_announce: message::MAX_OFFERS,
            sdp: SdpBounds { bytes: message::MAX_SDP_BYTES, candidates: message::MAX_SDP_CANDIDATES },
            pending_offers: 64,
            received_offers: Rate { per_second: 5.0, burst: 60 },
            offers_per_connection: Rate { per_second: 20.0, burst: 600 },
            offers_per_ip: Rate { per_second: 400.0, burst: 8000 },
            messages_per_connection: Rate { per_second: 10.0, burst: 600 },
            refusals_per_connection: Rate { per_second: 1.0, burst: 600 },
            announces_per_ip: Rate { per_second: 200.0, burst: 4000 },
            announces_per_ip_and_swarm: Rate { per_second: 100.0, burst: 2000 },
            connections_per_ip: 64,
            connections_per_net: 8192,
            connections: 100_000,
            peers: 400_000,
            swarms: 100_000,
            swarms_per_connection: 8,
            swarms_per_scrape: 64,
            near_percent: 40,
            reports_to_ban: 3,
            report_percent: 25,
            report_age: Span::from_secs(600),
            ban_age: Span::from_secs(600),
            ban_shared: 4,
            trickle: true,
            trickle_age: Span::from_secs(60),
            trickle_candidates: message::MAX_TRICKLED_CANDIDATES,
            trickle_candidate_bytes: message::MAX_CANDIDATE_BYTES,
        }
    }
}

impl Limits {
    /// How many connections there may be.
    pub const fn most_connections(&self) -> MostConnections {
        MostConnections {
            all: self.connections,
            per_ip: self.connections_per_ip,
            per_net: self.connections_per_net,
        }
    }
}
