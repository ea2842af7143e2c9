//! What a peer has: one bitmap window per run of segments, and marks for what it is fetching.

use crate::id::{SegmentKey, TrackId};
use crate::time::Time;
use crate::wire::{Frame, HaveEntry, HaveState, bitmap};

/// Runs (track and discontinuity) that are remembered of one peer. The one that was quiet longest goes first.
const MAX_RUNS: usize = 64;
/// Fetching marks that are remembered of one peer. The one that expires first goes first.
const MAX_MARKS: usize = 64;

/// What one side of a link has. Sender and receiver keep one each and apply the same changes, so that both know
/// what fell out of a window.
#[derive(Clone, Debug)]
pub(super) struct HaveMap {
    /// Sorted by track and discontinuity.
    runs: Vec<Run>,
    /// Not sorted: there are few.
    marks: Vec<Mark>,
    window_words: u64,
    /// Counts changes, to know the run that was quiet longest.
    changes: u64,
}

/// A window over one run of segments, in words of 64 bits. What is outside is not there.
#[derive(Clone, Debug)]
struct Run {
    track: TrackId,
    discontinuity: u32,
    /// Media sequence number of the window's first bit, divided by 64.
    first_word: u64,
    words: Vec<u64>,
    changed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    key: SegmentKey,
    state: HaveState,
    until: Time,
}

impl HaveMap {
    pub(super) fn new(window_segments: u32) -> HaveMap {
        let window_words = u64::from(window_segments / 64).max(1);
        HaveMap { runs: Vec::new(), marks: Vec::new(), window_words, changes: 0 }
    }

    /// What is said of one segment. Marks older than `now` count for nothing.
    pub(super) fn state(&self, key: SegmentKey, now: Time) -> HaveState {
        if self.is_loaded(key) {
            return HaveState::Loaded;
        }
        let mark = self.marks.iter().find(|mark| mark.key == key && mark.until > now);
        mark.map_or(HaveState::Gone, |mark| mark.state)
    }

    fn is_loaded(&self, key: SegmentKey) -> bool {
        self.find(key.track, key.discontinuity)
            .ok()
            .and_then(|place| self.runs.get(place))
            .is_some_and(|run| run.get(key.sequence))
    }

    /// Applies one change. A fetching mark counts until `until`. Tells whether anything is different now.
    pub(super) fn apply(&mut self, entry: HaveEntry, until: Time) -> bool {
        let HaveEntry { key, state } = entry;
        match state {
            HaveState::Loaded => self.unmark(key) | self.set(key),
            HaveState::Gone => self.unmark(key) | self.clear(key),
            HaveState::FetchingHttp | HaveState::FetchingP2p => {
                let cleared = self.clear(key);
                cleared | self.mark(Mark { key, state, until })
            }
        }
    }

    /// Replaces what is known of one run.
    pub(super) fn replace(&mut self, track: TrackId, discontinuity: u32, first_sequence: u64, loaded: &[u8]) {
        self.marks.retain(|mark| (mark.key.track, mark.key.discontinuity) != (track, discontinuity));
        if let Ok(place) = self.find(track, discontinuity) {
            self.runs.remove(place);
        }
        for bit in bitmap::ones(loaded) {
            let sequence = first_sequence.saturating_add(bit as u64);
            self.set(SegmentKey { track, discontinuity, sequence });
        }
    }

    fn find(&self, track: TrackId, discontinuity: u32) -> Result<usize, usize> {
        self.runs.binary_search_by_key(&(track, discontinuity), |run| (run.track, run.discontinuity))
    }

    fn set(&mut self, key: SegmentKey) -> bool {
        self.changes += 1;
        let place = match self.find(key.track, key.discontinuity) {
            Ok(place) => place,
            Err(_) => {
                self.make_room();
                let place = self.find(key.track, key.discontinuity).unwrap_or_else(|place| place);
                self.runs.insert(place, Run::new(key));
                place
            }
        };
        let (changes, window) = (self.changes, self.window_words);
        self.runs.get_mut(place).is_some_and(|run| {
            run.changed = changes;
            run.set(key.sequence, window)
        })
    }

    fn make_room(&mut self) {
        while self.runs.len() >= MAX_RUNS {
            let quiet = self.runs.iter().enumerate().min_by_key(|(_, run)| run.changed);
            let Some((place, _)) = quiet else { return };
            self.runs.remove(place);
        }
    }

    fn clear(&mut self, key: SegmentKey) -> bool {
        let Ok(place) = self.find(key.track, key.discontinuity) else { return false };
        let Some(run) = self.runs.get_mut(place) else { return false };
        let cleared = run.clear(key.sequence);
        if run.words.is_empty() {
            self.runs.remove(place);
        }
        cleared
    }

    fn mark(&mut self, new: Mark) -> bool {
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.key == new.key) {
            let changed = mark.state != new.state;
            *mark = new;
            return changed;
        }
        if self.marks.len() >= MAX_MARKS {
            let oldest = self.marks.iter().enumerate().min_by_key(|(_, mark)| mark.until);
            if let Some((place, _)) = oldest {
                self.marks.swap_remove(place);
            }
        }
        self.marks.push(new);
        true
    }

    fn unmark(&mut self, key: SegmentKey) -> bool {
        let before = self.marks.len();
        self.marks.retain(|mark| mark.key != key);
        self.marks.len() != before
    }

    /// Forgets marks that have run out. Tells whether there were any.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        let before = self.marks.len();
        self.marks.retain(|mark| mark.until > now);
        self.marks.len() != before
    }

    /// When the next mark runs out.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.marks.iter().map(|mark| mark.until).min()
    }

    /// Segments that are loaded.
    pub(super) fn loaded_count(&self) -> usize {
        self.runs.iter().flat_map(|run| &run.words).map(|word| word.count_ones() as usize).sum()
    }

    /// One [`Frame::Have`] per run.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = Frame> + '_ {
        self.runs.iter().map(Run::snapshot)
    }

    /// The [`Frame::Have`] of one run, empty if nothing is there.
    pub(super) fn snapshot(&self, track: TrackId, discontinuity: u32) -> Frame {
        let run = self.find(track, discontinuity).ok().and_then(|place| self.runs.get(place));
        run.map_or_else(
            || Frame::Have { track, discontinuity, first_sequence: 0, loaded: Vec::new() },
            Run::snapshot,
        )
    }
}

impl Run {
    fn new(key: SegmentKey) -> Run {
        Run {
            track: key.track,
            discontinuity: key.discontinuity,
            first_word: 0,
            words: Vec::new(),
            changed: 0,
        }
    }

    fn word(&self, sequence: u64) -> Option<&u64> {
        self.words.get(usize::try_from((sequence / 64).checked_sub(self.first_word)?).ok()?)
    }

    fn get(&self, sequence: u64) -> bool {
        self.word(sequence).is_some_and(|word| word & bit(sequence) != 0)
    }

    /// Sets a bit. A segment outside moves the window there; what falls out on the other side is forgotten.
    fn set(&mut self, sequence: u64, window: u64) -> bool {
        let word = sequence / 64;
        if self.words.is_empty() {
            self.first_word = word;
        }
        if let Some(before) = self.first_word.checked_sub(word) {
            let keep = window.saturating_sub(before) as usize;
            self.words.truncate(keep);
            if keep > 0 {
                self.words.splice(0..0, std::iter::repeat_n(0, before as usize));
            }
            self.first_word = word;
        } else {
            let drop = (word - self.first_word).saturating_sub(window - 1);
            if drop > 0 {
                self.words.drain(..usize::try_from(drop).unwrap_or(usize::MAX).min(self.words.len()));
                self.first_word += drop;
            }
        }
        let place = (word - self.first_word) as usize;
        if self.words.len() <= place {
            self.words.resize(place + 1, 0);
        }
        let Some(slot) = self.words.get_mut(place) else { return false };
        let new = *slot & bit(sequence) == 0;
        *slot |= bit(sequence);
        new
    }

    fn clear(&mut self, sequence: u64) -> bool {
        let Some(place) = (sequence / 64).checked_sub(self.first_word) else { return false };
        let Some(slot) = usize::try_from(place).ok().and_then(|place| self.words.get_mut(place)) else {
            return false;
        };
        let had = *slot & bit(sequence) != 0;
        *slot &= !bit(sequence);
        if *slot == 0 {
            let empty = self.words.iter().take_while(|word| **word == 0).count();
            self.words.drain(..empty);
            self.first_word += empty as u64;
            while self.words.last() == Some(&0) {
                self.words.pop();
            }
        }
        had
    }

    fn snapshot(&self) -> Frame {
        let mut loaded: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let used = loaded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        loaded.truncate(used);
        let skip = loaded.iter().take_while(|byte| **byte == 0).count();
        loaded.drain(..skip);
        Frame::Have {
            track: self.track,
            discontinuity: self.discontinuity,
            first_sequence: self.first_word * 64 + skip as u64 * 8,
            loaded,
        }
    }
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % 64)
}

#[cfg(test)]
mod tests;
