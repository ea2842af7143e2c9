//! Conversations with the tracker: each line is a message, the first byte says of which connection. Everything that is
//! sent is JSON with an action, every connection hears of its own messages first, and the numbers add up.
#![no_main]

use hlswarm::time::{Span, Time};
use hlswarm_tracker::{ConnId, Limits, Out, Registry, SendKind};
use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const CONNECTIONS: u8 = 4;

fuzz_target!(|text: &str| {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut registry = Registry::new(Limits::default(), &mut rng);
    let mut now = Time::from_millis(1000);
    let connect = |registry: &mut Registry, now, place: u8| -> ConnId {
        registry.connect(now, std::net::IpAddr::from([10, 0, 0, place])).expect("there is room")
    };
    let mut conns: Vec<ConnId> = (0..CONNECTIONS).map(|place| connect(&mut registry, now, place)).collect();
    let mut out = Out::new();
    for line in text.lines() {
        let Some(first) = line.bytes().next().filter(u8::is_ascii) else { continue };
        let place = first % CONNECTIONS;
        let conn = conns[usize::from(place)];
        let message = &line[1..];
        now = now + Span::from_millis(u64::from(first) * 40);
        out.clear();
        match message {
            "bye" => {
                registry.disconnect(conn);
                conns[usize::from(place)] = connect(&mut registry, now, place);
            }
            "tick" => registry.tick(now, &mut out),
            _ => registry.handle(now, &mut rng, conn, message, &mut out),
        }
        for (number, (to, kind, text)) in out.sends().enumerate() {
            let value: serde_json::Value = serde_json::from_str(text).expect("what is sent is JSON");
            assert!(value["action"].is_string());
            match kind {
                SendKind::Reply => assert!(to == conn && number == 0, "the reply comes first"),
                SendKind::Offer => assert!(to != conn && value["offer"]["sdp"].is_string()),
                SendKind::Answer => assert!(value["answer"]["sdp"].is_string()),
                _ => {}
            }
        }
        let sizes = registry.sizes();
        assert_eq!(sizes.connections, usize::from(CONNECTIONS));
        let members: usize = registry.swarm_sizes().map(|swarm| swarm.complete + swarm.incomplete).sum();
        assert_eq!(members, sizes.members);
        assert!(registry.swarm_sizes().all(|swarm| swarm.complete + swarm.incomplete > 0));
    }
    for conn in conns {
        registry.disconnect(conn);
    }
    assert_eq!(registry.sizes(), Default::default());
});
