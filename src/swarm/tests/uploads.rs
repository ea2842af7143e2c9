use super::harness::{Node, Sent, key, request};
use crate::id::{LinkId, TransferId};
use crate::wire::{DataHead, Frame};

#[test]
fn a_segment_is_accepted_and_sent_in_order() {
    let mut node = Node::linked();
    node.store.put(key(4), Some(100_000), 100_000);
    node.say(1, &request(77, key(4)));
    let sent = node.sent_on(1);
    let transfer = TransferId(77);
    assert_eq!(sent[0], Sent::Control(Frame::Accept { transfer, total_bytes: 100_000 }));
    let mut next = 0;
    for message in &sent[1..] {
        let Sent::Data { head, len, .. } = message else { panic!("{message:?}") };
        assert_eq!(*head, DataHead { transfer, at: next });
        assert!(len + 9 <= 65_535);
        next += len;
    }
    assert_eq!(next, 100_000);
    assert_eq!(node.swarm.stats().1, 100_000);
    assert_eq!(node.swarm.peer_view(LinkId(1)).unwrap().outstanding, 0);
}
