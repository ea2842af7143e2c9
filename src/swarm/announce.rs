//! What we have, told to the peers: changes are gathered for a moment and said to all whom they concern.

use crate::sorted::SortedMap;

use crate::id::{SegmentKey, TrackId};
use crate::time::{Span, Time};
use crate::wire::{Frame, HaveEntry, HaveState, Interest, MAX_HAVE_ENTRIES};

use super::have_map::HaveMap;

/// Between two announcements. Peers take ten a second.
const INTERVAL: Span = Span::from_millis(100);
/// The same when all that changed is that segments were dropped: who keeps the newest drops one with each that comes, and the
/// next thing to say takes the news along. Whoever asks meanwhile is told before the refusal.
const GONE_INTERVAL: Span = Span::from_secs(4);
/// Between two tellings of where the player is.
const INTEREST_INTERVAL: Span = Span::from_millis(250);
/// The same where the player only went on by less than [`FAR`]: it decides nothing, as peers count who will want a segment
/// soon with those who want it. Each telling is a task of every peer's page.
const MOVED_INTERVAL: Span = Span::from_secs(8);
/// Segments that a player goes on by until peers are told at once.
const FAR: u64 = 4;
/// How long a peer believes that we are fetching something unless it is told again.
pub(super) const MARK_LIFETIME: Span = Span::from_secs(10);
/// How often it is told again.
const MARK_REPEAT: Span = Span::from_secs(4);
/// With more changes than this in one run of segments, the whole bitmap is shorter.
const MAX_CHANGES: usize = 2 * MAX_HAVE_ENTRIES;

/// Our own availability and interest, and what of it the peers were told.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    /// What every peer has been told.
    told: HaveMap,
    /// What we are fetching, and when that must be repeated.
    marks: SortedMap<SegmentKey, (HaveState, Time)>,
    /// Changes since then.
    pending: SortedMap<SegmentKey, HaveState>,
    announced_at: Option<Time>,
    interest: Option<Interest>,
    /// What the peers know of it, and since when.
    interest_told: Option<(Interest, Time)>,
}

impl Announcer {
    pub(super) fn new(window_segments: u32) -> Announcer {
        Announcer {
            told: HaveMap::new(window_segments),
            marks: SortedMap::new(),
            pending: SortedMap::new(),
            announced_at: None,
            interest: None,
            interest_told: None,
        }
    }

    pub(super) fn set_state(&mut self, key: SegmentKey, state: HaveState, now: Time) {
        let told = self.marks.get(&key).map_or_else(|| self.told.state(key, now), |(state, _)| *state);
        if told == state {
            self.pending.remove(&key);
        } else {
            self.pending.insert(key, state);
        }
    }

    /// Every peer is told of a segment that we have in another way.
    pub(super) fn told_loaded(&mut self, key: SegmentKey, now: Time) {
        self.pending.remove(&key);
        self.tell(HaveEntry { key, state: HaveState::Loaded }, now);
    }

    /// Takes down what every peer is told.
    fn tell(&mut self, entry: HaveEntry, now: Time) {
        let HaveEntry { key, state } = entry;
        self.marks.remove(&key);
        let fetching = matches!(state, HaveState::FetchingHttp | HaveState::FetchingP2p);
        if fetching {
            self.marks.insert(key, (state, now + MARK_REPEAT));
        }
        self.told.apply(HaveEntry { key, state: if fetching { HaveState::Gone } else { state } }, now);
    }

    pub(super) fn set_interest(&mut self, interest: Interest) {
        self.interest = Some(interest);
    }

    /// What must go out now.
    pub(super) fn due(&mut self, now: Time) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.interest_due().is_some_and(|at| at <= now) {
            self.interest_told = self.interest.map(|interest| (interest, now));
            frames.extend(self.interest.map(Frame::Interest));
        }
        for (key, (state, repeat_at)) in &self.marks {
            if *repeat_at <= now {
                self.pending.entry(*key).or_insert(*state);
            }
        }
        if self.changes_due().is_some_and(|at| at <= now) {
            self.take_changes(now, &mut frames);
        }
        frames
    }

    fn take_changes(&mut self, now: Time, frames: &mut Vec<Frame>) {
        self.announced_at = Some(now);
        let pending = std::mem::take(&mut self.pending);
        let mut entries = Vec::with_capacity(pending.len());
        for (key, state) in pending {
            let entry = HaveEntry { key, state };
            self.tell(entry, now);
            entries.push(entry);
        }
        let run = |entry: &HaveEntry| (entry.key.track, entry.key.discontinuity);
        let mut small: Vec<HaveEntry> = Vec::new();
        for changes in entries.chunk_by(|a, b| run(a) == run(b)) {
            match changes.first() {
                Some(first) if changes.len() > MAX_CHANGES => {
                    let (track, discontinuity) = run(first);
                    frames.push(self.told.snapshot(track, discontinuity));
                    // The snapshot wipes the marks of its run.
                    small.extend(self.mark_entries(Some((track, discontinuity))));
                }
                _ => small.extend(changes),
            }
        }
        frames.extend(deltas(&small));
    }

    fn mark_entries(&self, run: Option<(TrackId, u32)>) -> impl Iterator<Item = HaveEntry> + '_ {
        let wanted = move |key: &SegmentKey| run.is_none_or(|run| run == (key.track, key.discontinuity));
        self.marks
            .iter()
            .filter(move |(key, _)| wanted(key))
            .map(|(key, (state, _))| HaveEntry { key: *key, state: *state })
    }

    /// What a new peer is told: everything that the others know.
    pub(super) fn snapshot(&self) -> Vec<Frame> {
        let marks: Vec<HaveEntry> = self.mark_entries(None).collect();
        let interest = self.interest.filter(|_| self.interest_told.is_some());
        self.told.snapshots().chain(deltas(&marks)).chain(interest.map(Frame::Interest)).collect()
    }

    fn changes_due(&self) -> Option<Time> {
        let mut due = self.marks.values().map(|(_, repeat_at)| *repeat_at).min();
        for (key, state) in &self.pending {
            let is_drop = *state == HaveState::Gone && !self.marks.contains_key(key);
            let interval = if is_drop { GONE_INTERVAL } else { INTERVAL };
            let at = self.announced_at.map_or(Time::ZERO, |announced| announced + interval);
            due = Some(due.map_or(at, |due| due.min(at)));
        }
        due
    }

    fn interest_due(&self) -> Option<Time> {
        let interest = self.interest?;
        let Some((told, at)) = self.interest_told else { return Some(Time::ZERO) };
        let same = (told.track, told.serves) == (interest.track, interest.serves);
        let moved_only = same && interest.wanted_sequence.wrapping_sub(told.wanted_sequence) < FAR;
        (told != interest).then(|| at + if moved_only { MOVED_INTERVAL } else { INTEREST_INTERVAL })
    }

    /// When [`Announcer::due`] will have something to say.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        [self.changes_due(), self.interest_due()].into_iter().flatten().min()
    }
}

fn deltas(entries: &[HaveEntry]) -> impl Iterator<Item = Frame> + '_ {
    entries.chunks(MAX_HAVE_ENTRIES).map(|chunk| Frame::HaveDelta { entries: chunk.to_vec() })
}
