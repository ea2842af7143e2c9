//! What other registries of a cluster say: two bytes of length, then a frame, again and again. Whatever comes, what is said in
//! return can be read, and what is sent to members is JSON.
#![no_main]

use hlswarm::time::{Span, Time};
use hlswarm_tracker::cluster::{Frame, Mesh, Neighbours, NodeId, Peek};
use hlswarm_tracker::{Limits, Out, Registry};
use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const ANNOUNCE: &str = r#"{"action":"announce","info_hash":"swarm-of-twenty-byte","peer_id":"PEER----------------",
"numwant":1,"trickle":true,"offers":[{"offer_id":"o","offer":{"type":"offer","sdp":"v=0\r\n"}}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut registry = Registry::new(Limits::default(), &mut rng);
    let own = NodeId::new(1 << 8).with_worker(0);
    registry.join_cluster(Mesh::new(own, Neighbours { workers: true, processes: true }, 100));
    let mut now = Time::from_millis(1000);
    let mut out = Out::new();
    let conns: Vec<_> = ["anna", "ben-", "carl"]
        .into_iter()
        .map(|name| {
            let conn = registry.connect(now, [10, 0, name.as_bytes()[0], 1].into()).expect("there is room");
            let message = ANNOUNCE.replace("PEER", name);
            registry.handle(now, &mut rng, conn, &message, &mut out);
            conn
        })
        .collect();
    let mut rest = bytes;
    while let Some((length, more)) = rest.split_at_checked(2) {
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        let (frame, more) = more.split_at(length.min(more.len()));
        rest = more;
        now = now + Span::from_millis(length as u64 % 700);
        out.clear();
        registry.hear(now, &mut rng, frame, &mut out);
        registry.tick_cluster(now, &mut out);
        if length % 5 == 0 {
            registry.tick(now, &mut out);
        }
        for (_, said) in out.frames() {
            assert_eq!(Frame::parse(said).expect("what is said can be read").from.process(), own.process());
            assert!(Peek::at(said).is_ok());
        }
        for (_, _, text) in out.sends() {
            let value: serde_json::Value = serde_json::from_str(text).expect("what is sent is JSON");
            assert!(value["action"].is_string());
        }
    }
    for conn in conns {
        registry.disconnect(conn);
    }
    assert_eq!(registry.sizes(), Default::default());
});
