//! Simulated time: events in order, and the queue that holds them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use hlswarm::id::ByteRange;

use crate::links::Message;

/// Who an event is for or from: viewers first, then trackers, then the origin.
pub(crate) type ActorId = u32;

/// Something that happens to an actor.
#[derive(Debug)]
pub(crate) enum Event {
    /// A viewer opens the page.
    Join,
    /// A viewer goes, without a word if `vanish`.
    Leave { vanish: bool },
    /// The fault with this index of the scenario begins.
    FaultBegins(u16),
    /// The fault with this index ends.
    FaultEnds(u16),
    /// One seek of a seek storm.
    Seek(u8),
    /// The time that the engine asked for.
    EngineTimer,
    /// The time that the player asked for.
    PlayerTimer,
    /// A playlist of the player's track arrives.
    Playlist { track: u8, rendition: u8 },
    /// The uplink has sent a message.
    UplinkDone,
    /// The downlink has received a piece.
    DownlinkDone,
    /// Something may be sent or received that had to wait for its own rate limit.
    Retry,
    /// The browser has made a description.
    Described { link: u32 },
    /// Candidates come after the description.
    LateCandidates { link: u32 },
    /// The offering side's channel opens.
    Connected { link: u32 },
    /// The browser gives a connection up that was not made or whose other end is silent.
    GiveUp { link: u32 },
    /// The other side's channel is open.
    PeerConnected { link: u32, peer: ActorId, peer_link: u32 },
    /// A message of a channel.
    Wire { link: u32, message: Message },
    /// Bytes of a channel were received.
    Ack { link: u32, bytes: u32 },
    /// The other side closed the channel.
    PeerClosed { link: u32 },
    /// The other side has been silent for as long as a browser waits.
    PeerLost { link: u32 },
    /// The page's validator answers.
    Verified { blob: u32, ok: bool },
    /// A request reaches the origin.
    Request { fetch: u32, resource: u32, range: Option<Box<ByteRange>> },
    /// A viewer took bytes of a limited download.
    Credit { fetch: u32, bytes: u32 },
    /// A viewer's abort reaches the origin.
    Abort { fetch: u32 },
    /// The origin's line has sent a piece.
    OriginDone,
    /// A response head.
    Head { fetch: u32, head: Box<ResponseHead> },
    /// More of a body has left the origin.
    Grant { fetch: u32, bytes: u32 },
    /// The connection of a download broke.
    Broken { fetch: u32 },
    /// A request has had no answer for as long as a player waits.
    NoAnswer { fetch: u32 },
    /// A socket is opened to a tracker; `socket` counts a viewer's attempts.
    SocketOpen { socket: u32 },
    /// A message of a socket, in either direction.
    SocketText { socket: u32, text: Box<str> },
    /// A socket was accepted.
    SocketUp { socket: u32 },
    /// A socket was closed or refused, in either direction.
    SocketDown { socket: u32 },
    /// The registry's clock.
    TrackerTick,
}

/// What a response head says, and how much of the body may follow at once.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub status: u16,
    pub resource: u32,
    /// Bytes of the resource that the body holds.
    pub body: std::ops::Range<u32>,
    pub says_length: bool,
    pub content_range: Option<ByteRange>,
    /// Bytes that have left the origin with the head; the rest comes by [`Event::Grant`].
    pub granted: u32,
    /// Highest rate of this download in bytes per second.
    pub bytes_per_s: Option<f64>,
    /// The body breaks off after so many bytes.
    pub breaks_after: Option<u32>,
}

/// An event with its place in the order of all events. The order depends on the simulation alone, not on how actors
/// are spread over threads.
#[derive(Debug)]
pub(crate) struct Entry {
    pub at_us: u64,
    pub target: ActorId,
    pub source: ActorId,
    pub number: u32,
    pub event: Event,
}

impl Entry {
    /// Actor by actor, each in the order of time.
    fn order(&self) -> (ActorId, u64, ActorId, u32) {
        (self.target, self.at_us, self.source, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    // Reversed: the binary heap gives the greatest, we want the earliest.
    fn cmp(&self, other: &Entry) -> Ordering {
        other.order().cmp(&self.order())
    }
}

/// Events by windows of time. Within one, actors do not touch each other, so that each handles all its events in one go
/// while its state is at hand: with thousands of viewers the memory that each event touches is what takes the time.
pub(crate) struct Queue {
    window_us: u64,
    /// The first window that may hold events.
    current: u64,
    /// The windows of the near future, each without order.
    ring: Vec<Vec<Entry>>,
    in_ring: usize,
    far: BTreeMap<u64, Vec<Entry>>,
    /// What the actor at hand has yet to do in this window.
    turn: BinaryHeap<Entry>,
}

const RING: u64 = 1024;

impl Queue {
    pub(crate) fn new(window_us: u64) -> Queue {
        Queue {
            window_us: window_us.max(1),
            current: 0,
            ring: (0..RING).map(|_| Vec::new()).collect(),
            in_ring: 0,
            far: BTreeMap::new(),
            turn: BinaryHeap::new(),
        }
    }

    /// Adds an event: of a later window, or of this one for the actor at hand.
    pub(crate) fn push(&mut self, entry: Entry) {
        let window = entry.at_us / self.window_us;
        if window < self.current {
            self.turn.push(entry);
        } else if window - self.current < RING {
            self.ring[(window % RING) as usize].push(entry);
            self.in_ring += 1;
        } else {
            self.far.entry(window).or_default().push(entry);
        }
    }

    /// When the window of the earliest event begins.
    pub(crate) fn next_us(&mut self) -> Option<u64> {
        let mut first = self.far.first_key_value().map(|(&window, _)| window);
        if self.in_ring > 0 {
            let near = (self.current..).find(|window| !self.ring[(window % RING) as usize].is_empty());
            first = first.into_iter().chain(near).min();
        }
        first.map(|window| window * self.window_us)
    }

    /// The events of the window that begins at `start_us`, actor by actor, the first one last. From now on what is pushed
    /// for this window is for [`Queue::own`].
    pub(crate) fn take(&mut self, start_us: u64, room: &mut Vec<Entry>) {
        let window = start_us / self.window_us;
        // What was in use before becomes room for a later window.
        std::mem::swap(room, &mut self.ring[(window % RING) as usize]);
        self.in_ring -= room.len();
        if let Some(more) = self.far.remove(&window) {
            room.extend(more);
        }
        self.current = window + 1;
        room.sort_unstable();
    }

    /// The earliest thing that an actor set itself to do in this very window, if it comes before `other`.
    pub(crate) fn own(&mut self, other: Option<&Entry>) -> Option<Entry> {
        // The order of entries is reversed: the greater one is earlier.
        if self.turn.peek() > other { self.turn.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_whatever_their_distance() {
        let mut queue = Queue::new(5_000);
        let mut state = 1u64;
        let mut expected = Vec::new();
        let mut push = |queue: &mut Queue, expected: &mut Vec<u64>, from: u64, number: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at_us = from + (state >> 33) % [3_000, 100_000, 50_000_000][number as usize % 3];
            expected.push(at_us);
            queue.push(Entry { at_us, target: 0, source: 0, number, event: Event::EngineTimer });
        };
        for number in 0..500 {
            push(&mut queue, &mut expected, 0, number);
        }
        let mut seen = Vec::new();
        let mut window = Vec::new();
        while let Some(start_us) = queue.next_us() {
            queue.take(start_us, &mut window);
            while let Some(entry) = queue.own(window.last()).or_else(|| window.pop()) {
                assert!((start_us..start_us + 5_000).contains(&entry.at_us));
                seen.push(entry.at_us);
                if seen.len() < 500 {
                    push(&mut queue, &mut expected, entry.at_us, 500 + seen.len() as u32);
                }
            }
        }
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_actor_does_all_that_a_window_holds_for_it_before_the_next_one() {
        let mut queue = Queue::new(1_000);
        let entry = |target, at_us| Entry { at_us, target, source: 9, number: 0, event: Event::EngineTimer };
        for (target, at_us) in [(2, 100), (1, 900), (2, 1_500), (1, 200), (2, 50)] {
            queue.push(entry(target, at_us));
        }
        let mut seen = Vec::new();
        let mut window = Vec::new();
        queue.take(0, &mut window);
        while let Some(next) = queue.own(window.last()).or_else(|| window.pop()) {
            seen.push((next.target, next.at_us));
            if next.at_us == 200 {
                queue.push(entry(1, 950));
                queue.push(entry(1, 1_100));
            }
        }
        assert_eq!(seen, [(1, 200), (1, 900), (1, 950), (2, 50), (2, 100)]);
        assert_eq!(queue.next_us(), Some(1_000));
    }
}
