//! A model of a player, after hls.js: one segment at a time and track, a bounded buffer, stalls, retries, a live
//! window. It asks and is told; it knows nothing of where segments come from.

use crate::adapt::Estimator;
use crate::media::{Catalog, Place};
use crate::scenario::PlayerSettings;

/// What the player wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Load a segment.
    Want { request: u32, place: Place },
    /// The answer is no longer wanted.
    Cancel { request: u32 },
    /// Load or reload the playlist of a rendition for a track.
    LoadPlaylist { track: u8, rendition: u8 },
    /// Tell where the playhead is.
    Report,
}

/// What the viewer saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// From opening the page to the first frame, in microseconds.
    pub startup_us: Option<u64>,
    pub stalls: u32,
    pub stall_us: u64,
    /// Each stall: when it began and when it ended.
    pub stalled: Vec<(u64, u64)>,
    /// Segments given up, which a page has to recover from.
    pub failures: u32,
    /// Times that a live window left the player behind.
    pub jumps: u32,
    pub segments: u32,
}

impl Seen {
    fn stalled(&mut self, since_us: u64, until_us: u64) {
        self.stall_us += until_us.saturating_sub(since_us);
        self.stalled.push((since_us, until_us));
    }

    /// How long after a moment the stall went on that lasted then or began within the next ten seconds; 0 without one.
    pub(crate) fn recovered_us(&self, moment_us: u64) -> u64 {
        let late_us = moment_us + 10_000_000;
        let of_it = self.stalled.iter().filter(|(since, until)| *since <= late_us && *until > moment_us);
        of_it.map(|(_, until)| until - moment_us).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Playing,
    Stalled { since_us: u64 },
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    request: u32,
    place: Place,
    since_us: u64,
}

#[derive(Debug)]
struct Track {
    rendition: u8,
    /// Rendition that the loaded playlist is of.
    loaded: Option<u8>,
    window: (u32, u32),
    next: u32,
    placed: bool,
    /// Contiguous media in the buffer.
    buffered_us: (u64, u64),
    pending: Option<Pending>,
    appending: Option<(u64, u32)>,
    retry_at_us: Option<u64>,
    attempts: u32,
    playlist_due_us: Option<u64>,
    playlist_loading: bool,
    since_switch: u32,
}

/// `fragLoadPolicy` of hls.js: six retries after errors, the pause doubling from one to eight seconds.
const RETRIES: u32 = 6;
const MAX_LOAD_US: u64 = 120_000_000;
const NEVER: u64 = u64::MAX;

/// The player of one viewer.
#[derive(Debug)]
pub(crate) struct Player {
    opened_us: u64,
    tracks: Vec<Track>,
    state: State,
    position_us: u64,
    position_at_us: u64,
    next_request: u32,
    report_at_us: u64,
    estimator: Estimator,
    suspended: bool,
    /// Nothing happens before this moment, unless something comes from outside.
    due_us: u64,
    pub(crate) seen: Seen,
}

impl Player {
    pub(crate) fn new(now_us: u64, catalog: &Catalog, settings: &PlayerSettings) -> Player {
        let video = settings.start_rendition as u8;
        let audio = catalog
            .renditions
            .iter()
            .position(|rendition| rendition.kind == hlswarm::engine::TrackKind::Audio)
            .map(|index| index as u8);
        let track = |rendition| Track {
            rendition,
            loaded: None,
            window: (0, 0),
            next: 0,
            placed: false,
            buffered_us: (0, 0),
            pending: None,
            appending: None,
            retry_at_us: None,
            attempts: 0,
            playlist_due_us: Some(now_us),
            playlist_loading: false,
            since_switch: 0,
        };
        Player {
            opened_us: now_us,
            tracks: std::iter::once(video).chain(audio).map(track).collect(),
            state: State::Starting,
            position_us: 0,
            position_at_us: now_us,
            next_request: 0,
            report_at_us: now_us,
            estimator: Estimator::default(),
            suspended: false,
            due_us: 0,
            seen: Seen::default(),
        }
    }

    /// Where the playhead is, in microseconds of media.
    pub(crate) fn position_us(&self) -> u64 {
        self.position_us
    }

    /// Playable media ahead.
    pub(crate) fn ahead_us(&self) -> u64 {
        self.buffer_end().saturating_sub(self.position_us)
    }

    pub(crate) fn rate_milli(&self) -> u32 {
        // A stalled player is not paused: it goes on as soon as it can.
        if self.suspended || self.state == State::Ended { 0 } else { 1000 }
    }

    fn buffer_end(&self) -> u64 {
        self.tracks.iter().map(|track| track.buffered_us.1).min().unwrap_or(0)
    }

    /// Does all that is due, and returns when to be called again.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        catalog: &Catalog,
        settings: &PlayerSettings,
        out: &mut Vec<Action>,
    ) -> u64 {
        if self.suspended {
            return NEVER;
        }
        if now_us < self.due_us {
            return self.due_us;
        }
        for index in 0..self.tracks.len() {
            self.append(index, now_us, catalog);
        }
        self.advance(now_us, catalog);
        let mut due = NEVER;
        for index in 0..self.tracks.len() {
            due = due.min(self.load(index, now_us, catalog, settings, out));
        }
        if self.state == State::Playing {
            due = due.min(now_us + self.ahead_us().max(1));
        }
        if self.report_at_us <= now_us && self.state != State::Starting {
            out.push(Action::Report);
            let pause = (settings.playhead_every_ms * 1000.0) as u64;
            // A player that has reached the end says so, and no more.
            self.report_at_us = if self.state == State::Ended { NEVER } else { now_us + pause };
        }
        if self.state != State::Ended && self.state != State::Starting {
            due = due.min(self.report_at_us);
        }
        // What it has asked for may have changed it at once.
        self.due_us = if out.is_empty() { due.max(now_us + 1) } else { 0 };
        due.max(now_us + 1)
    }

    fn append(&mut self, index: usize, now_us: u64, catalog: &Catalog) {
        let track = &mut self.tracks[index];
        let Some((_, segment)) = track.appending.filter(|&(at, _)| at <= now_us) else { return };
        track.appending = None;
        let start = u64::from(segment) * catalog.segment_us;
        if track.buffered_us.1 != start {
            track.buffered_us = (start, start);
        }
        track.buffered_us.1 = start + catalog.segment_us;
        self.seen.segments += 1;
    }

    fn advance(&mut self, now_us: u64, catalog: &Catalog) {
        let end = self.buffer_end();
        if self.state == State::Playing {
            let target = self.position_us + (now_us - self.position_at_us);
            self.position_us = target.min(end.max(self.position_us));
            let over_us = target - self.position_us;
            let finish = u64::from(catalog.window) * catalog.segment_us;
            if !catalog.live && self.position_us >= finish {
                self.state = State::Ended;
                self.report_at_us = now_us;
            } else if end <= self.position_us {
                self.state = State::Stalled { since_us: now_us - over_us };
                self.seen.stalls += 1;
                self.report_at_us = now_us;
            }
        } else if end > self.position_us
            && self.tracks.iter().all(|track| track.buffered_us.0 <= self.position_us)
        {
            match self.state {
                State::Starting => self.seen.startup_us = Some(now_us - self.opened_us),
                State::Stalled { since_us } => self.seen.stalled(since_us, now_us),
                State::Playing | State::Ended => return,
            }
            self.state = State::Playing;
            self.report_at_us = now_us;
        }
        self.position_at_us = now_us;
    }

    fn load(
        &mut self,
        index: usize,
        now_us: u64,
        catalog: &Catalog,
        settings: &PlayerSettings,
        out: &mut Vec<Action>,
    ) -> u64 {
        let mut due = NEVER;
        let position = self.position_us;
        let playing = self.state == State::Playing;
        let track = &mut self.tracks[index];
        if let Some(at) = track.playlist_due_us.filter(|_| !track.playlist_loading) {
            if at <= now_us {
                track.playlist_loading = true;
                track.playlist_due_us = None;
                out.push(Action::LoadPlaylist { track: index as u8, rendition: track.rendition });
            } else {
                due = due.min(at);
            }
        }
        if let Some(pending) = track.pending {
            let give_up = pending.since_us + MAX_LOAD_US;
            if now_us < give_up {
                return due.min(give_up);
            }
            out.push(Action::Cancel { request: pending.request });
            track.pending = None;
            return due.min(self.failed_on(index, now_us, true));
        }
        if let Some((at, _)) = track.appending {
            return due.min(at);
        }
        if track.loaded != Some(track.rendition) || !track.placed || self.state == State::Ended {
            return due;
        }
        if let Some(at) = track.retry_at_us.filter(|&at| at > now_us) {
            return due.min(at);
        }
        track.retry_at_us = None;
        if track.next < track.window.0 {
            // The window has left us behind. What is in the buffer is played first.
            if playing {
                return due;
            }
            self.catch_up(settings, catalog);
            return now_us + 1;
        }
        if track.next >= track.window.1 {
            return due;
        }
        let rate = catalog.renditions[track.rendition as usize].bitrate_bps as f64;
        let limit_s = (8.0 * settings.max_buffer_size_bytes / rate)
            .max(settings.max_buffer_length_s)
            .min(settings.max_max_buffer_length_s);
        let ahead = track.buffered_us.1.saturating_sub(position);
        let limit = (limit_s * 1e6) as u64;
        if ahead >= limit {
            return if playing { due.min(now_us + (ahead - limit) + 1) } else { due };
        }
        self.next_request += 1;
        let request = self.next_request;
        let place = Place { rendition: track.rendition, index: track.next };
        track.pending = Some(Pending { request, place, since_us: now_us });
        out.push(Action::Want { request, place });
        due.min(now_us + MAX_LOAD_US)
    }

    /// A playlist arrived.
    pub(crate) fn on_playlist(
        &mut self,
        now_us: u64,
        track: u8,
        rendition: u8,
        window: (u32, u32),
        catalog: &Catalog,
        settings: &PlayerSettings,
    ) {
        self.due_us = 0;
        let fresh = self.tracks[track as usize].loaded != Some(rendition);
        let track = &mut self.tracks[track as usize];
        track.playlist_loading = false;
        if rendition != track.rendition {
            track.playlist_due_us = Some(now_us);
            return;
        }
        if catalog.live {
            // hls.js reloads after a target duration, and after half of one when nothing was new.
            let pause =
                if fresh || window.1 > track.window.1 { catalog.segment_us } else { catalog.segment_us / 2 };
            track.playlist_due_us = Some(now_us + pause);
        }
        track.loaded = Some(rendition);
        track.window = window;
        if self.tracks.iter().all(|track| track.loaded.is_some() && !track.placed) {
            let start = if catalog.live { window.1 - settings.live_sync_segments } else { 0 };
            self.jump_to(start, catalog);
        }
    }

    fn jump_to(&mut self, index: u32, catalog: &Catalog) {
        let start = u64::from(index) * catalog.segment_us;
        self.position_us = start;
        for track in &mut self.tracks {
            track.next = index;
            track.placed = true;
            track.buffered_us = (start, start);
        }
    }

    fn catch_up(&mut self, settings: &PlayerSettings, catalog: &Catalog) {
        let end = self.tracks.iter().map(|track| track.window.1).min().unwrap_or(0);
        self.jump_to(end.saturating_sub(settings.live_sync_segments), catalog);
        self.seen.jumps += 1;
    }

    /// The answer to a request came. Returns whether it was still wanted.
    pub(crate) fn on_delivered(
        &mut self,
        now_us: u64,
        request: u32,
        loading: Option<(u64, u64)>,
        catalog: &Catalog,
        settings: &PlayerSettings,
    ) -> bool {
        self.due_us = 0;
        let Some(index) = self.waiting_track(request) else { return false };
        let adaptive = settings.adaptive && index == 0;
        let track = &mut self.tracks[index];
        let Some(pending) = track.pending.take() else { return false };
        track.attempts = 0;
        track.appending = Some((now_us + (settings.append_ms * 1000.0) as u64, pending.place.index));
        track.next = pending.place.index + 1;
        track.since_switch += 1;
        if let Some((bytes, us)) = loading {
            self.estimator.sample(bytes, us);
        }
        let videos = catalog
            .renditions
            .iter()
            .filter(|rendition| rendition.kind == hlswarm::engine::TrackKind::Main)
            .count();
        let mut wanted = track.rendition;
        if adaptive {
            let rates = catalog.renditions[..videos].iter().map(|rendition| rendition.bitrate_bps);
            wanted = self.estimator.choose(rates, wanted);
        } else if index == 0
            && settings.switch_every_segments.is_some_and(|every| track.since_switch >= every)
        {
            wanted = ((usize::from(wanted) + 1) % videos) as u8;
        }
        if wanted != track.rendition {
            track.since_switch = 0;
            track.rendition = wanted;
            track.playlist_due_us = Some(now_us);
        }
        true
    }

    /// A request failed; `again` says whether the player retries by itself.
    pub(crate) fn on_failed(&mut self, now_us: u64, request: u32, again: bool) -> bool {
        self.due_us = 0;
        let Some(index) = self.waiting_track(request) else { return false };
        self.tracks[index].pending = None;
        self.failed_on(index, now_us, again);
        true
    }

    fn failed_on(&mut self, index: usize, now_us: u64, again: bool) -> u64 {
        let track = &mut self.tracks[index];
        let pause_us = if again && track.attempts < RETRIES {
            (1_000_000 << track.attempts).min(8_000_000)
        } else {
            // The player gives up; pages start it again.
            self.seen.failures += 1;
            track.attempts = 0;
            2_000_000
        };
        track.attempts += 1;
        track.retry_at_us = Some(now_us + pause_us);
        now_us + pause_us
    }

    /// When a request that has no answer yet was made.
    pub(crate) fn pending_since(&self, request: u32) -> Option<u64> {
        self.waiting_track(request)
            .and_then(|index| self.tracks[index].pending)
            .map(|pending| pending.since_us)
    }

    fn waiting_track(&self, request: u32) -> Option<usize> {
        self.tracks.iter().position(|track| track.pending.is_some_and(|pending| pending.request == request))
    }

    /// Requests without an answer.
    pub(crate) fn open_requests(&self) -> impl Iterator<Item = u32> {
        self.tracks.iter().filter_map(|track| track.pending.map(|pending| pending.request))
    }

    /// Seeks to the `unit` (0 to 1) of what can be played.
    pub(crate) fn seek(&mut self, now_us: u64, unit: f64, catalog: &Catalog, out: &mut Vec<Action>) {
        if self.state == State::Starting || self.tracks.iter().any(|track| !track.placed) {
            return;
        }
        self.due_us = 0;
        self.advance(now_us, catalog);
        let (first, end) = self.tracks[0].window;
        let index = first + (f64::from(end - first) * unit) as u32;
        let position = u64::from(index) * catalog.segment_us;
        let kept =
            self.tracks.iter().all(|track| track.buffered_us.0 <= position && position < track.buffered_us.1);
        if kept {
            self.position_us = position;
        } else {
            for track in &mut self.tracks {
                if let Some(pending) = track.pending.take() {
                    out.push(Action::Cancel { request: pending.request });
                }
                track.appending = None;
                track.retry_at_us = None;
            }
            self.jump_to(index, catalog);
            if !matches!(self.state, State::Stalled { .. }) {
                self.state = State::Stalled { since_us: now_us };
                self.seen.stalls += 1;
            }
        }
        self.report_at_us = now_us;
    }

    /// The machine sleeps or wakes: media time stands still meanwhile.
    pub(crate) fn suspend(&mut self, now_us: u64, suspended: bool, catalog: &Catalog) {
        self.due_us = 0;
        if suspended {
            self.advance(now_us, catalog);
        } else if let State::Stalled { since_us } = &mut self.state {
            *since_us += now_us - self.position_at_us;
        }
        self.position_at_us = now_us;
        self.suspended = suspended;
    }

    /// Accounts for a stall, or a start-up, that lasts to the end.
    pub(crate) fn finish(&mut self, now_us: u64, catalog: &Catalog) {
        if !self.suspended {
            self.advance(now_us, catalog);
        }
        if let State::Stalled { since_us } = self.state {
            self.seen.stalled(since_us, now_us);
        }
    }
}
