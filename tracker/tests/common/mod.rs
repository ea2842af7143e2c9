//! A registry with named clients, in simulated time.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::{IpAddr, Ipv4Addr};

use hlswarm::time::{Span, Time};
use hlswarm_tracker::{CloseReason, ConnId, Limits, Out, Registry, SendKind};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

pub const SWARM: &str = "swarm-of-twenty-byte";
pub const OTHER_SWARM: &str = "another-swarm-of-20-";

/// What the registry wanted done.
#[derive(Debug, Default)]
pub struct Done {
    pub sends: Vec<(ConnId, SendKind, String)>,
    pub closes: Vec<(ConnId, CloseReason)>,
}

impl Done {
    /// The messages to `conn`, parsed.
    pub fn to(&self, conn: ConnId) -> Vec<Value> {
        let mine = self.sends.iter().filter(|(to, _, _)| *to == conn);
        mine.map(|(_, _, text)| serde_json::from_str(text).expect(text)).collect()
    }

    /// The only message to `conn`.
    pub fn only(&self, conn: ConnId) -> Value {
        let mut all = self.to(conn);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// The reason of the only message, which must be a failure.
    pub fn failure(&self, conn: ConnId) -> String {
        let message = self.only(conn);
        assert!(message["action"].is_string() && message["info_hash"].is_string(), "{message}");
        message["failure reason"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    pub fn of_kind(&self, kind: SendKind) -> usize {
        self.sends.iter().filter(|(_, k, _)| *k == kind).count()
    }
}

pub struct Tracker {
    pub registry: Registry,
    pub now: Time,
    pub rng: ChaCha8Rng,
    next_ip: u32,
}

impl Tracker {
    pub fn new() -> Tracker {
        Tracker::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Tracker {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        Tracker { registry: Registry::new(limits, &mut rng), now: Time::from_millis(1000), rng, next_ip: 0 }
    }

    /// A connection from an address of its own.
    pub fn connect(&mut self) -> ConnId {
        self.next_ip += 1;
        self.connect_from(Ipv4Addr::from(0x0a00_0000 + self.next_ip).into())
    }

    pub fn connect_from(&mut self, ip: IpAddr) -> ConnId {
        self.registry.connect(self.now, ip).expect("room")
    }

    pub fn say(&mut self, conn: ConnId, message: &str) -> Done {
        let mut out = Out::new();
        self.registry.handle(self.now, &mut self.rng, conn, message, &mut out);
        done(&out)
    }

    pub fn send(&mut self, conn: ConnId, message: &Value) -> Done {
        self.say(conn, &message.to_string())
    }

    /// A new connection that joins as `name`.
    pub fn join(&mut self, name: &str) -> ConnId {
        let conn = self.connect();
        let reply = self.send(conn, &announce(name, 0)).only(conn);
        assert!(reply.get("failure reason").is_none(), "{reply}");
        conn
    }

    pub fn pass(&mut self, span: Span) -> Done {
        self.now = self.now + span;
        let mut out = Out::new();
        self.registry.tick(self.now, &mut out);
        done(&out)
    }
}

fn done(out: &Out) -> Done {
    Done {
        sends: out.sends().map(|(to, kind, text)| (to, kind, text.to_owned())).collect(),
        closes: out.closes().collect(),
    }
}

/// A peer id for a short name.
pub fn peer(name: &str) -> String {
    format!("{name:-<20}")
}

/// An announce of `name` with `offers` offers, whose ids are `<name>-<number>`.
pub fn announce(name: &str, offers: usize) -> Value {
    let offers: Vec<Value> = (0..offers)
        .map(|n| json!({"offer": {"type": "offer", "sdp": format!("sdp {n}\r\n")}, "offer_id": format!("{name}-{n}")}))
        .collect();
    json!({"action": "announce", "info_hash": SWARM, "peer_id": peer(name), "numwant": offers.len(), "uploaded": 0,
           "downloaded": 0, "offers": offers})
}

/// The answer of `name` to an offer as it was received.
pub fn answer(name: &str, offer: &Value) -> Value {
    json!({"action": "announce", "info_hash": offer["info_hash"], "peer_id": peer(name), "to_peer_id": offer["peer_id"],
           "answer": {"type": "answer", "sdp": "answer\r\n"}, "offer_id": offer["offer_id"]})
}

pub fn with(mut message: Value, key: &str, value: Value) -> Value {
    message[key] = value;
    message
}

pub fn without(mut message: Value, key: &str) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.remove(key);
    }
    message
}
