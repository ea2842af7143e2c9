//! What a stock peer says and hears, in both words.

use std::sync::Arc;

use proptest::prelude::*;

use crate::config::LimitsConfig;
use crate::engine::{SegmentInfo, TimelineUpdate, TrackKind};
use crate::id::{BlobId, Id20, SegmentKey, SwarmId, TrackId, TransferId};
use crate::interop::command::{Command, Joiner, Subject};
use crate::interop::{Effect, Gateway, Ids, Numbering, Setup};
use crate::swarm::{SegmentStore, StoredSegment};
use crate::time::{Span, Time};
use crate::timeline::Timeline;
use crate::wire::{
    DataHead, Frame, HaveState, RefuseReason, SHARING, bitmap, decode, encode, encode_data_head,
};

const TRACK: TrackId = TrackId(7);
const BYTES: u64 = 100_000;

fn key(sequence: u64) -> SegmentKey {
    // A discontinuity in the middle: stock ids know nothing of it.
    SegmentKey { track: TRACK, discontinuity: u32::from(sequence >= 1005), sequence }
}

/// Segments 1000 to 1000 + `count`; we have the even ones.
struct World {
    timeline: Timeline,
    numbering: Numbering,
    gateway: Gateway,
    now: Time,
}

struct Kept;

impl SegmentStore for Kept {
    fn segment(&self, key: SegmentKey) -> Option<StoredSegment> {
        let there = key.sequence.is_multiple_of(2);
        there.then_some(StoredSegment {
            blob: BlobId(1),
            resource_offset: key.sequence * 10,
            total_bytes: Some(BYTES),
            shareable: true,
        })
    }

    fn contiguous_from(&self, key: SegmentKey, at: u64) -> u64 {
        // Of 1008 only a part is there yet.
        if key.sequence == 1008 { 5 } else { BYTES - at }
    }
}

impl World {
    fn new(count: u64, numbering: Numbering) -> World {
        let mut timeline = Timeline::new(&LimitsConfig::default());
        let segments = (1000..1000 + count).map(|sequence| SegmentInfo {
            discontinuity: key(sequence).discontinuity,
            sequence,
            start_ms: (sequence as i64 - 1000) * 4000,
            duration_ms: 4000,
            url: Arc::from("https://cdn.example.com/segment"),
            byte_range: None,
        });
        timeline.update(TimelineUpdate {
            track: TRACK,
            kind: TrackKind::Main,
            live: false,
            bitrate_bps: None,
            segments: segments.collect(),
        });
        let setup = Setup {
            peer: Id20(*b"-PM0203-abcdefghijkl"),
            swarm: SwarmId(Id20([1; 20])),
            max_message_bytes: 65_535,
            shares: true,
        };
        let (gateway, effects) = Gateway::new(Time::ZERO, setup);
        // No request came for a while.
        let now = Time::from_millis(10_000);
        assert!(matches!(frames(&effects)[..], [Frame::Hello { peer, .. }] if peer == setup.peer));
        World { timeline, numbering, gateway, now }
    }

    fn vod() -> World {
        World::new(20, Numbering::Index { first: 1000, count: 20 })
    }

    fn hears(&mut self, command: &Command) -> Vec<Effect> {
        let [message] = command.encode(65_535).try_into().unwrap();
        assert!(self.gateway.is_command(&message));
        if matches!(command, Command::Announcement { .. }) {
            // Slow enough that each is passed on at once.
            self.now = self.now + Span::from_millis(200);
        }
        self.hears_at_once(&message)
    }

    fn hears_at_once(&mut self, message: &[u8]) -> Vec<Effect> {
        let ids = Ids { timeline: &self.timeline, track: TRACK, numbering: self.numbering };
        self.gateway.incoming(self.now, message, &ids, &Kept)
    }

    /// The peer is told what we have.
    fn tells(&mut self, loaded: &[u64]) -> Vec<Effect> {
        self.gateway.announce(self.now, loaded.to_vec(), Vec::new())
    }

    fn show(&mut self) -> Vec<Effect> {
        let ids = Ids { timeline: &self.timeline, track: TRACK, numbering: self.numbering };
        self.gateway.show(self.now, &ids)
    }

    /// Time passes.
    fn wait(&mut self, ms: u64) -> Vec<Effect> {
        self.now = self.now + Span::from_millis(ms);
        let ids = Ids { timeline: &self.timeline, track: TRACK, numbering: self.numbering };
        self.gateway.retry(self.now, &ids, &Kept)
    }

    fn says(&mut self, frame: &Frame) -> Vec<Effect> {
        let ids = Ids { timeline: &self.timeline, track: TRACK, numbering: self.numbering };
        self.gateway.outgoing(self.now, &encode(frame), &ids)
    }

    fn asks(&mut self, transfer: u32, sequence: u64, at: u32) -> Vec<Effect> {
        let (transfer, key) = (TransferId(transfer), key(sequence));
        self.says(&Frame::Request { transfer, key, resource_offset: 0, at, len: 0 })
    }
}

fn frames(effects: &[Effect]) -> Vec<Frame> {
    let frames = effects.iter().filter_map(|effect| match effect {
        Effect::Frame(frame) => Some(decode(frame, 4096).unwrap()),
        _ => None,
    });
    // Signs of life say nothing.
    frames.filter(|frame| !matches!(frame, Frame::Extension { .. })).collect()
}

fn sent(effects: &[Effect]) -> Vec<Command> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::Send(message) => Some(message),
        _ => None,
    });
    let mut joiner = Joiner::default();
    messages
        .filter_map(|message| joiner.push(Time::ZERO, message).unwrap())
        .map(|payload| Command::decode(&payload).unwrap())
        .collect()
}

fn announcement(loaded: &[u64], loading: &[u64]) -> Command {
    Command::Announcement { loaded: loaded.to_vec(), loading: loading.to_vec() }
}

fn changes(effects: &[Effect]) -> Vec<(u64, HaveState)> {
    let mut changes = Vec::new();
    for frame in frames(effects) {
        match frame {
            Frame::HaveDelta { entries } => {
                for entry in entries {
                    assert_eq!(entry.key, key(entry.key.sequence));
                    changes.push((entry.key.sequence, entry.state));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    changes
}

use HaveState::{FetchingHttp, Gone, Loaded};

#[test]
fn places_of_a_recording_and_sequence_numbers_of_a_live_stream() {
    let mut vod = World::vod();
    assert_eq!(
        changes(&vod.hears(&announcement(&[0, 6], &[7]))),
        [(1000, Loaded), (1006, Loaded), (1007, FetchingHttp)]
    );
    let mut live = World::new(20, Numbering::Sequence);
    assert_eq!(changes(&live.hears(&announcement(&[1006], &[]))), [(1006, Loaded)]);
    assert_eq!(sent(&live.asks(1, 1006, 0)), [Command::Request { segment: 1006, request: 1, from: 0 }]);
    assert_eq!(sent(&vod.asks(1, 1006, 9)), [Command::Request { segment: 6, request: 1, from: 9 }]);
}

#[test]
fn an_announcement_replaces_the_one_before() {
    let mut world = World::vod();
    world.hears(&announcement(&[0, 1, 2], &[3]));
    let news = changes(&world.hears(&announcement(&[1, 2, 3], &[])));
    assert_eq!(news, [(1000, Gone), (1003, Loaded)]);
    assert_eq!(changes(&world.hears(&announcement(&[], &[]))), [(1001, Gone), (1002, Gone), (1003, Gone)]);
    assert_eq!(changes(&world.hears(&announcement(&[], &[]))), []);
}

#[test]
fn what_a_peer_has_ahead_of_our_playlist_counts_when_we_see_it() {
    let mut world = World::new(5, Numbering::Sequence);
    assert_eq!(changes(&world.hears(&announcement(&[1004, 1005], &[]))), [(1004, Loaded)]);
    world.timeline = World::new(6, Numbering::Sequence).timeline;
    assert_eq!(changes(&world.show()), [(1005, Loaded)]);
    assert_eq!(world.show(), []);
}

#[test]
fn announcements_that_come_fast_are_passed_on_at_a_pace() {
    let mut world = World::vod();
    let fast = |world: &mut World, ids: &[u64]| {
        let [message] = announcement(ids, &[]).encode(65_535).try_into().unwrap();
        world.hears_at_once(&message)
    };
    assert_eq!(changes(&fast(&mut world, &[0])), [(1000, Loaded)]);
    assert!(!fast(&mut world, &[0, 1]).is_empty(), "a sign of life");
    for most in 2..15 {
        let ids: Vec<u64> = (0..most).collect();
        assert_eq!(fast(&mut world, &ids), [], "too soon");
    }
    let due = world.gateway.show_due().unwrap();
    assert_eq!(due, world.now + Span::from_millis(200));
    world.now = due;
    let news: Vec<_> = (1001..1014).map(|sequence| (sequence, Loaded)).collect();
    assert_eq!(changes(&world.show()), news, "all of it, in one frame");
    assert_eq!(world.gateway.show_due(), None);
    // What it lacks is known to be gone before it says so once more: it did not lie.
    assert_eq!(sent(&world.asks(1, 1003, 0)).len(), 1);
    fast(&mut world, &[0, 1]);
    let [absent] = Command::Absent(Subject { segment: 3, request: 1 }).encode(65_535).try_into().unwrap();
    let said = frames(&world.hears_at_once(&absent));
    assert!(matches!(said[..], [Frame::HaveDelta { .. }, Frame::Refuse { .. }]), "{said:?}");
    // However fast, there is an end.
    let floods = (0..2000).flat_map(|_| fast(&mut world, &[0, 1]));
    assert!(floods.into_iter().any(|effect| matches!(effect, Effect::Violation(_))));
}

#[test]
fn a_peer_is_told_again_once_it_is_sure_to_listen() {
    let mut world = World::vod();
    let ours = announcement(&[0, 2], &[]);
    assert_eq!(sent(&world.tells(&[0, 2])), std::slice::from_ref(&ours));
    // Nothing came of it: it may not have listened yet.
    assert_eq!(world.gateway.announce_due(), Some(world.now + Span::from_secs(2)));
    world.hears(&announcement(&[], &[]));
    assert_eq!(world.gateway.announce_due(), Some(world.now));
    assert_eq!(sent(&world.tells(&[0, 2])), std::slice::from_ref(&ours));
    world.hears(&announcement(&[1], &[]));
    assert_eq!(world.gateway.announce_due(), None);
    assert_eq!(world.tells(&[0, 2]), []);
    // One that never says anything is told twice.
    let mut silent = World::vod();
    for _ in 0..2 {
        assert_eq!(sent(&silent.tells(&[0, 2])), std::slice::from_ref(&ours));
    }
    assert_eq!(silent.tells(&[0, 2]), []);
    assert_eq!(silent.gateway.announce_due(), None);
}

#[test]
fn when_our_side_ceases_to_serve_the_peer_is_told() {
    let mut world = World::vod();
    world.hears(&announcement(&[], &[]));
    world.tells(&[2]);
    assert_eq!(world.gateway.announce_due(), None);
    world.says(&Frame::Extension { kind: SHARING, body: vec![0] });
    assert_eq!(world.gateway.announce_due(), Some(world.now));
}

#[test]
fn who_counts_otherwise_than_we_do_has_nothing() {
    let mut world = World::vod();
    world.hears(&announcement(&[1, 2], &[]));
    // As one does that saw the stream live.
    assert_eq!(changes(&world.hears(&announcement(&[2, 1003], &[]))), [(1001, Gone), (1002, Gone)]);
}

#[test]
fn long_lists_go_as_bitmaps_and_endless_ones_are_cut() {
    let mut world = World::new(3000, Numbering::Sequence);
    let all: Vec<u64> = (1000..4000).collect();
    let told = world.hears(&announcement(&all, &[]));
    let told = frames(&told);
    assert_eq!(told.len(), 2, "one for each run");
    let Frame::Have { first_sequence, loaded, discontinuity: 1, .. } = &told[1] else { panic!("{told:?}") };
    assert_eq!(*first_sequence, 4000 - 2048, "as many as our own map holds, the last ones");
    assert_eq!(bitmap::count(loaded), 2048);
    let endless: Vec<u64> = (0..50_000).collect();
    world.hears(&announcement(&endless, &[]));
    assert!(frames(&world.hears(&announcement(&[1000], &[]))).len() < 70);
}

#[test]
fn a_download_from_its_beginning_to_its_end() {
    let mut world = World::vod();
    world.hears(&announcement(&[3], &[]));
    assert_eq!(sent(&world.asks(40, 1003, 0)), [Command::Request { segment: 3, request: 1, from: 0 }]);
    let about = Subject { segment: 3, request: 1 };
    let accept = world.hears(&Command::Data { segment: 3, request: 1, bytes: 3000 });
    assert_eq!(frames(&accept), [Frame::Accept { transfer: TransferId(40), total_bytes: 3000 }]);
    assert_eq!(world.gateway.body(1000), DataHead { transfer: TransferId(40), at: 0 });
    assert_eq!(world.gateway.body(2000), DataHead { transfer: TransferId(40), at: 1000 });
    assert_eq!(frames(&world.hears(&Command::Completed(about))), [], "it was whole before");
    // And on it goes.
    assert_eq!(sent(&world.asks(41, 1004, 500)), [Command::Request { segment: 4, request: 2, from: 500 }]);
    let accept = world.hears(&Command::Data { segment: 4, request: 2, bytes: 100 });
    assert_eq!(
        frames(&accept),
        [Frame::Accept { transfer: TransferId(41), total_bytes: 600 }],
        "of the whole"
    );
    assert_eq!(world.gateway.body(100), DataHead { transfer: TransferId(41), at: 500 });
}

#[test]
fn one_request_at_a_time() {
    let mut world = World::vod();
    world.asks(1, 1003, 0);
    let refused = world.asks(2, 1004, 0);
    assert_eq!(frames(&refused), [Frame::Refuse { transfer: TransferId(2), reason: RefuseReason::Busy }]);
    assert_eq!(sent(&refused), []);
}

#[test]
fn absent_empty_and_broken_answers() {
    let refused = |transfer, reason| [Frame::Refuse { transfer: TransferId(transfer), reason }];
    let mut world = World::vod();
    world.hears(&announcement(&[3, 4], &[]));
    world.asks(1, 1003, 0);
    let about = Subject { segment: 3, request: 1 };
    assert_eq!(
        frames(&world.hears(&Command::Absent(Subject { request: 9, ..about }))),
        [],
        "of something else"
    );
    assert_eq!(frames(&world.hears(&Command::Absent(about))), refused(1, RefuseReason::Absent));
    assert_eq!(changes(&world.hears(&announcement(&[3, 4], &[]))), [(1003, Loaded)], "it has it again");
    // The buffer of its cache was given away: nothing is left of the segment.
    world.asks(2, 1004, 0);
    let empty = world.hears(&Command::Data { segment: 4, request: 2, bytes: 0 });
    assert_eq!(frames(&empty), refused(2, RefuseReason::Absent));
    assert_eq!(frames(&world.hears(&Command::Completed(Subject { segment: 4, request: 2 }))), []);
    // Completed too early.
    world.asks(3, 1003, 0);
    world.hears(&Command::Data { segment: 3, request: 3, bytes: 10 });
    world.gateway.body(5);
    let early = world.hears(&Command::Completed(Subject { segment: 3, request: 3 }));
    assert_eq!(frames(&early), refused(3, RefuseReason::Aborted));
    // Another answer in the middle of ours: its bytes must not count for it.
    world.asks(4, 1003, 0);
    world.hears(&Command::Data { segment: 3, request: 4, bytes: 10 });
    let other = world.hears(&Command::Data { segment: 9, request: 1, bytes: 10 });
    assert_eq!(frames(&other), refused(4, RefuseReason::Aborted));
    assert_eq!(world.gateway.body(10).transfer, TransferId(4), "late bytes of what is over");
}

#[test]
fn bytes_of_a_cancelled_request_are_never_taken_for_the_next() {
    let mut world = World::vod();
    world.asks(1, 1003, 0);
    let about = Subject { segment: 3, request: 1 };
    assert_eq!(sent(&world.says(&Frame::Cancel { transfer: TransferId(1) })), [Command::Cancel(about)]);
    // A stock peer that was still looking for the segment has not heeded that. It must not be asked for more.
    assert_eq!(frames(&world.asks(2, 1004, 0)).len(), 1, "busy");
    assert_eq!(
        sent(&world.hears(&Command::Data { segment: 3, request: 1, bytes: 50 })),
        [Command::Cancel(about)],
        "now it will"
    );
    assert_eq!(sent(&world.asks(3, 1004, 0)), [Command::Request { segment: 4, request: 2, from: 0 }]);
    assert_eq!(world.gateway.body(50).transfer, TransferId(1), "still of the first");
    world.hears(&Command::Data { segment: 4, request: 2, bytes: 50 });
    assert_eq!(world.gateway.body(50).transfer, TransferId(3));
    // One that never answers is asked again after a while.
    world.asks(4, 1005, 0);
    world.says(&Frame::Cancel { transfer: TransferId(4) });
    world.now = world.now + Span::from_secs(3);
    assert_eq!(sent(&world.asks(5, 1006, 0)).len(), 1);
    // A cancel while bytes come ends them for certain.
    world.hears(&Command::Data { segment: 6, request: 4, bytes: 50 });
    world.says(&Frame::Cancel { transfer: TransferId(5) });
    assert_eq!(sent(&world.asks(6, 1007, 0)).len(), 1);
}

#[test]
fn bytes_that_look_like_a_command_are_bytes() {
    let mut world = World::vod();
    let looks = [b"cstr".as_slice(), &[0x77; 20], b"cend"].concat();
    let part = [b"dstr".as_slice(), &[0x77; 20], b"dend"].concat();
    assert!(world.gateway.is_command(&looks));
    assert!(!world.gateway.is_command(b"cstr-cen"));
    world.asks(1, 1003, 0);
    world.hears(&Command::Data { segment: 3, request: 1, bytes: 3000 });
    assert!(!world.gateway.is_command(&looks));
    assert!(!world.gateway.is_command(&part));
    let absent = Command::Absent(Subject { segment: 3, request: 1 }).encode(65_535).remove(0);
    assert!(world.gateway.is_command(&absent), "what is one is one");
    let long = announcement(&(0..400).collect::<Vec<_>>(), &[]).encode(200);
    let ids = Ids { timeline: &world.timeline, track: TRACK, numbering: world.numbering };
    for message in &long {
        assert!(world.gateway.is_command(message));
        world.gateway.incoming(Time::ZERO, message, &ids, &Kept);
    }
}

#[test]
fn an_upload_from_its_request_to_its_end() {
    let mut world = World::vod();
    let asked = world.hears(&Command::Request { segment: 4, request: 77, from: 99_000 });
    let [Frame::Request { transfer, resource_offset: 10_040, at: 99_000, len: 0, .. }] = frames(&asked)[..]
    else {
        panic!("{asked:?}")
    };
    let accepted = world.says(&Frame::Accept { transfer, total_bytes: BYTES as u32 });
    assert_eq!(sent(&accepted), [Command::Data { segment: 4, request: 77, bytes: 1000 }], "what follows");
    let head = |at| encode_data_head(DataHead { transfer, at });
    let (goes, after) = world.gateway.outgoing_body(&head(99_000), 600);
    assert!(goes && after.is_empty());
    let (goes, after) = world.gateway.outgoing_body(&head(99_600), 400);
    assert!(goes);
    assert_eq!(sent(&after), [Command::Completed(Subject { segment: 4, request: 77 })]);
    assert!(!world.gateway.outgoing_body(&head(100_000), 1).0, "it is over");
}

#[test]
fn everything_that_is_not_there_is_absent() {
    let mut world = World::vod();
    for (segment, from) in
        [(5, 0), (19, 0), (20, 0), (u64::from(u32::MAX), 0), (8, 0), (4, BYTES), (4, 1 << 40)]
    {
        let about = Subject { segment, request: 3 };
        let effects = world.hears(&Command::Request { segment, request: 3, from });
        assert_eq!(sent(&effects), [Command::Absent(about)], "{segment} from {from}");
        assert_eq!(frames(&effects), []);
    }
}

#[test]
fn a_new_request_ends_the_one_before_and_a_cancel_its_own() {
    let mut world = World::vod();
    world.hears(&Command::Request { segment: 4, request: 1, from: 0 });
    let second = frames(&world.hears(&Command::Request { segment: 6, request: 2, from: 0 }));
    assert_eq!(second, [Frame::Cancel { transfer: TransferId(0) }], "and it is passed on soon");
    let second = frames(&world.wait(110));
    assert!(matches!(second[..], [Frame::Request { transfer: TransferId(1), .. }]), "{second:?}");
    assert_eq!(frames(&world.hears(&Command::Cancel(Subject { segment: 4, request: 1 }))), []);
    let cancelled = frames(&world.hears(&Command::Cancel(Subject { segment: 6, request: 2 })));
    assert_eq!(cancelled, [Frame::Cancel { transfer: TransferId(1) }]);
    assert!(
        !world.gateway.outgoing_body(&encode_data_head(DataHead { transfer: TransferId(1), at: 0 }), 5).0
    );
    // One that waits is cancelled without a word.
    world.hears(&Command::Request { segment: 6, request: 3, from: 0 });
    assert!(world.gateway.retry_due().is_some());
    world.hears(&Command::Cancel(Subject { segment: 6, request: 3 }));
    assert_eq!(world.gateway.retry_due(), None);
}

#[test]
fn a_refusal_is_an_absence_and_a_busy_one_is_tried_again_first() {
    let mut world = World::vod();
    let ours = announcement(&[0, 2, 4], &[]);
    world.hears(&announcement(&[], &[]));
    assert_eq!(sent(&world.tells(&[0, 2, 4])), std::slice::from_ref(&ours));
    assert_eq!(world.tells(&[0, 2, 4]), [], "nothing is new");
    assert_eq!(world.gateway.announce_due(), None);
    world.hears(&Command::Request { segment: 4, request: 1, from: 7 });
    let about = Subject { segment: 4, request: 1 };
    for round in 0..5 {
        let busy = Frame::Refuse { transfer: TransferId(round), reason: RefuseReason::Busy };
        assert_eq!(world.says(&busy), [], "a stock peer would ask for the next segment at once");
        assert_eq!(frames(&world.wait(249)), []);
        let again = frames(&world.wait(1));
        assert!(matches!(again[..], [Frame::Request { at: 7, .. }]), "{again:?}");
    }
    let refused = world.says(&Frame::Refuse { transfer: TransferId(5), reason: RefuseReason::Busy });
    assert_eq!(sent(&refused), [Command::Absent(about)]);
    assert_eq!(world.gateway.announce_due(), Some(world.now + Span::from_secs(1)));
    assert_eq!(sent(&world.tells(&[0, 2, 4])), [ours], "although nothing is new");
    world.wait(1000);
    world.hears(&Command::Request { segment: 4, request: 2, from: 0 });
    world.says(&Frame::Refuse { transfer: TransferId(6), reason: RefuseReason::Absent });
    assert_eq!(world.gateway.announce_due(), None);
}

#[test]
fn pings_are_answered_when_the_buffer_has_drained() {
    let mut world = World::vod();
    let at_once = world.says(&Frame::Ping { nonce: 1 });
    assert_eq!(frames(&at_once), [Frame::Pong { nonce: 1 }], "nothing is in it");
    world.hears(&Command::Request { segment: 4, request: 1, from: 0 });
    world.says(&Frame::Accept { transfer: TransferId(0), total_bytes: BYTES as u32 });
    world.gateway.outgoing_body(&encode_data_head(DataHead { transfer: TransferId(0), at: 0 }), 1000);
    assert_eq!(world.says(&Frame::Ping { nonce: 2 }), []);
    assert_eq!(frames(&world.gateway.drained()), [Frame::Pong { nonce: 2 }]);
    assert_eq!(world.gateway.drained(), []);
}

#[test]
fn nonsense_closes_and_the_unknown_is_skipped() {
    let mut world = World::vod();
    let ids = Ids { timeline: &world.timeline, track: TRACK, numbering: world.numbering };
    let mut hear = |message: &[u8]| world.gateway.incoming(Time::ZERO, message, &ids, &Kept);
    assert!(matches!(hear(b"cstr\x06cend")[..], [Effect::Frame(_)]), "a later version's command");
    for message in [b"".as_slice(), b"hello", b"cstr\x01cend", b"cstrcend"] {
        assert!(matches!(hear(message)[..], [Effect::Violation(_)]), "{message:?}");
    }
    world.asks(1, 1003, 0);
    let endless = world.hears(&Command::Data { segment: 3, request: 1, bytes: 1 << 40 });
    assert!(matches!(endless[..], [Effect::Violation(_)]));
}

#[derive(Clone, Debug)]
enum Event {
    Command(Command),
    Body(u32),
    Ask { sequence: u64, at: u32 },
    Cancel,
    Pass(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let subject = (0u64..25, 0u64..8).prop_map(|(segment, request)| Subject { segment, request });
    let ids = proptest::collection::vec(0u64..25, 0..20);
    let command =
        prop_oneof![
            (ids.clone(), ids).prop_map(|(loaded, loading)| Command::Announcement { loaded, loading }),
            (subject.clone(), 0u64..200_000)
                .prop_map(|(Subject { segment, request }, from)| Command::Request { segment, request, from }),
            (subject.clone(), 0u64..2000).prop_map(|(Subject { segment, request }, bytes)| Command::Data {
                segment,
                request,
                bytes
            }),
            subject.clone().prop_map(Command::Completed),
            subject.clone().prop_map(Command::Absent),
            subject.prop_map(Command::Cancel),
        ];
    prop_oneof![
        4 => command.prop_map(Event::Command),
        2 => (1u32..1500).prop_map(Event::Body),
        2 => (1000u64..1020, 0u32..5000).prop_map(|(sequence, at)| Event::Ask { sequence, at }),
        1 => Just(Event::Cancel),
        1 => (0u64..4000).prop_map(Event::Pass),
    ]
}

proptest! {
    /// Whatever a stock peer says in whatever order, our side hears a peer that keeps to our protocol: data only between an
    /// accept and the end, in order, and one answer to each request.
    #[test]
    fn our_side_hears_a_sound_peer(events in proptest::collection::vec(any_event(), 0..80)) {
        let mut world = World::vod();
        let mut transfer = 0;
        // Of the download under way: its number, and once accepted the next byte and the end.
        let mut open: Option<(TransferId, Option<(u32, u32)>)> = None;
        for event in events {
            let effects = match event {
                Event::Command(command) => world.hears(&command),
                Event::Body(len) => {
                    let head = world.gateway.body(len);
                    match &mut open {
                        Some((number, Some((next, end)))) => {
                            prop_assert_eq!(head, DataHead { transfer: *number, at: *next });
                            *next += len;
                            if next >= end {
                                open = None;
                            }
                        }
                        Some((number, None)) => prop_assert_ne!(head.transfer, *number, "not accepted"),
                        None => {}
                    }
                    Vec::new()
                }
                Event::Ask { sequence, at } => {
                    if open.is_some() {
                        continue;
                    }
                    transfer += 1;
                    open = Some((TransferId(transfer), None));
                    world.asks(transfer, sequence, at)
                }
                Event::Cancel => match open.take() {
                    Some((transfer, _)) => world.says(&Frame::Cancel { transfer }),
                    None => Vec::new(),
                },
                Event::Pass(ms) => {
                    world.now = world.now + Span::from_millis(ms);
                    Vec::new()
                }
            };
            for frame in frames(&effects) {
                match frame {
                    Frame::Accept { transfer, total_bytes } => {
                        let Some((number, stage @ None)) = &mut open else { panic!("accepted out of turn") };
                        prop_assert_eq!(*number, transfer);
                        let Some(Effect::Frame(_)) = effects.last() else { panic!("no frame") };
                        *stage = Some((world.gateway.body(0).at, total_bytes));
                    }
                    Frame::Refuse { transfer, .. } => {
                        prop_assert_eq!(open.take().map(|(number, _)| number), Some(transfer));
                    }
                    Frame::HaveDelta { .. } | Frame::Have { .. } | Frame::Request { .. } | Frame::Cancel { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
