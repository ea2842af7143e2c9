//! Between one stock peer and our own peer state machine: what either says, in the other's words.

use crate::id::{PeerId, SegmentKey, SwarmId, TransferId};
use crate::sorted::SortedMap;
use crate::swarm::SegmentStore;
use crate::time::{Span, Time};
use crate::wire::{
    Capabilities, DataHead, Frame, HaveEntry, HaveState, MAX_HAVE_BITS, MAX_HAVE_ENTRIES, MAX_VERSION,
    MIN_VERSION, RefuseReason, SHARING, bitmap, decode, encode,
};

use super::command::{Command, CommandError, Joiner, Subject, is_framed};
use super::ids::Ids;
use super::uploads::{Serving, Waiting};

/// Segments of one announcement that are remembered: more than our own map of a peer holds.
const MAX_ANNOUNCED: usize = 16 * 1024;
/// A request that was cancelled before its first byte blocks the link no longer than this. Until then a stock peer may
/// still begin to answer it.
const SETTLE: Span = Span::from_secs(3);
/// A stock peer announces everything anew with each segment that it gets or begins to fetch, and a fast one gets very
/// many: only what it had to say last is passed on, no faster than this ...
const SHOW_SPACING: Span = Span::from_millis(200);
/// ... and of what says nothing to our side no more is taken in that time.
const MAX_QUIET: u32 = 1000;
/// A stock peer takes messages of this size whatever it was configured to send.
const MESSAGE_BYTES: u32 = 65_535;
/// What was said to a peer that has not been heard yet may have been lost: it is said once more after this.
const UNHEARD: Span = Span::from_secs(2);
/// The frame that stands for any sign of life. It says nothing and is counted.
const LIFE: u8 = 0xff;

/// What comes of something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this message to the stock peer.
    Send(Vec<u8>),
    /// Give this frame to our peer state machine, as from the peer.
    Frame(Vec<u8>),
    /// The peer broke its protocol: close the link.
    Violation(String),
}

impl Effect {
    pub(super) fn frame(frame: &Frame) -> Effect {
        Effect::Frame(encode(frame))
    }

    pub(super) fn life() -> Effect {
        Effect::frame(&Frame::Extension { kind: LIFE, body: Vec::new() })
    }
}

/// What a gateway is made from.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The stock peer, as the tracker told.
    pub peer: PeerId,
    /// Our own swarm, which the peer is shown in.
    pub swarm: SwarmId,
    /// Largest message that we send, in bytes.
    pub max_message_bytes: u32,
    /// Whether the peer is told what we have.
    pub shares: bool,
}

/// A segment that the peer was asked for.
#[derive(Clone, Copy, Debug)]
struct Asking {
    transfer: TransferId,
    key: SegmentKey,
    about: Subject,
    /// First byte asked for.
    from: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing came yet.
    Asked,
    /// Given up before anything came: what comes first still belongs to it.
    Cancelled { at: Time },
    /// Its bytes are coming.
    Coming { next: u32, end: u32 },
}

/// One stock peer.
#[derive(Clone, Debug)]
pub struct Gateway {
    setup: Setup,
    joiner: Joiner,
    loaded: Vec<u64>,
    loading: Vec<u64>,
    /// What our side was told of the peer.
    shown: SortedMap<SegmentKey, HaveState>,
    shown_at: Option<Time>,
    /// When our side is to be told what the peer has announced since.
    show_at: Option<Time>,
    /// When our side was given a sign of life last, and how often the peer has said nothing new since.
    life_at: Option<Time>,
    quiet: u32,
    asking: Option<Asking>,
    /// Bytes that nobody waits for count for this download.
    late: TransferId,
    next_request: u64,
    pub(super) serving: Option<Serving>,
    pub(super) waiting: Option<Waiting>,
    /// When a request was passed on to our side last.
    pub(super) passed_at: Time,
    pub(super) next_transfer: TransferId,
    /// When to tell the peer what we have.
    pub(super) announce_at: Option<Time>,
    told: Option<Command>,
    /// Whether the peer has said anything.
    heard: bool,
    /// Whether what it is told from now on is sure to arrive.
    listens: bool,
    /// Whether something that was sent may still be in the send buffer.
    pub(super) unsent: bool,
    /// Our state machine wants to know when that has left.
    probes: Vec<u32>,
}

impl Gateway {
    /// A gateway for a link that has just opened. What it gives introduces the peer to our side.
    pub fn new(now: Time, setup: Setup) -> (Gateway, Vec<Effect>) {
        let gateway = Gateway {
            setup,
            joiner: Joiner::default(),
            loaded: Vec::new(),
            loading: Vec::new(),
            shown: SortedMap::new(),
            shown_at: None,
            show_at: None,
            life_at: None,
            quiet: 0,
            asking: None,
            late: TransferId(0),
            next_request: 0,
            serving: None,
            waiting: None,
            passed_at: Time::ZERO,
            next_transfer: TransferId(0),
            announce_at: setup.shares.then_some(now),
            told: None,
            heard: false,
            listens: false,
            unsent: false,
            probes: Vec::new(),
        };
        let hello = Frame::Hello {
            min_version: MIN_VERSION,
            max_version: MAX_VERSION,
            capabilities: Capabilities::UPLOADS,
            swarm: setup.swarm,
            peer: setup.peer,
            max_message_bytes: MESSAGE_BYTES,
        };
        (gateway, vec![Effect::frame(&hello)])
    }

    /// Our side says something to the peer.
    pub fn outgoing(&mut self, now: Time, frame: &[u8], ids: &Ids<'_>) -> Vec<Effect> {
        // Our own frames are sound.
        let Ok(frame) = decode(frame, u32::MAX) else { return Vec::new() };
        match frame {
            // When our side ceases to serve, or begins, what it says it has is another list.
            Frame::Have { .. }
            | Frame::HaveDelta { .. }
            | Frame::Claim(_)
            | Frame::Extension { kind: SHARING, .. } => {
                if self.setup.shares {
                    self.announce_at.get_or_insert(now);
                }
                Vec::new()
            }
            Frame::Request { transfer, key, at, .. } => self.ask(now, transfer, key, at, ids),
            Frame::Cancel { transfer } => self.give_up(now, transfer),
            Frame::Accept { transfer, total_bytes } => self.accepted(transfer, total_bytes),
            Frame::Refuse { transfer, reason } => self.refused(now, transfer, reason),
            Frame::Ping { nonce } if self.unsent => {
                self.probes.push(nonce);
                Vec::new()
            }
            // There is no ping on the stock wire. Whether the connection stands is for ICE to say, and an answer in no time
            // is no measurement.
            Frame::Ping { nonce } => vec![Effect::frame(&Frame::Pong { nonce })],
            Frame::Hello { .. }
            | Frame::Interest(_)
            | Frame::Pong { .. }
            | Frame::Goodbye { .. }
            | Frame::Proof { .. }
            | Frame::Extension { .. } => Vec::new(),
        }
    }

    /// Everything that was sent has left the send buffer.
    pub fn drained(&mut self) -> Vec<Effect> {
        self.unsent = false;
        std::mem::take(&mut self.probes)
            .into_iter()
            .map(|nonce| Effect::frame(&Frame::Pong { nonce }))
            .collect()
    }

    /// Whether a message is a command, or a part of one. Where bytes of a segment are on their way, what only looks like
    /// a command is taken for bytes.
    pub fn is_command(&self, message: &[u8]) -> bool {
        if !is_framed(message) {
            return false;
        }
        if !matches!(self.asking, Some(Asking { stage: Stage::Coming { .. }, .. })) {
            return true;
        }
        let payload = message.get(4..message.len().saturating_sub(4)).unwrap_or_default();
        match (message.starts_with(b"cstr"), message.ends_with(b"cend")) {
            (true, true) => Command::decode(payload).is_ok(),
            // Only an announcement is long enough to be split.
            (true, false) => matches!(payload, [0, b'l' | b'p', 0x10, ..]),
            (false, _) => self.joiner.is_joining(),
        }
    }

    /// The peer says something: a message that [is a command](Gateway::is_command), or no binary message at all.
    pub fn incoming(
        &mut self,
        now: Time,
        message: &[u8],
        ids: &Ids<'_>,
        store: &dyn SegmentStore,
    ) -> Vec<Effect> {
        if !std::mem::replace(&mut self.heard, true) {
            // Browsers lose what is sent on a channel before the other side listens, and a stock peer has no word to ask
            // for it. Who speaks does listen.
            self.listens = true;
            self.announce_again_at(now);
        }
        if !is_framed(message) {
            return vec![Effect::Violation("a message that is neither a command nor bytes".to_owned())];
        }
        let command = match self.joiner.push(now, message) {
            Ok(None) => return self.said_nothing(now),
            Ok(Some(payload)) => Command::decode(&payload),
            Err(error) => Err(error),
        };
        match command {
            Ok(Command::Announcement { loaded, loading }) => {
                self.loaded = bounded(loaded);
                self.loading = bounded(loading);
                let due = self.shown_at.map_or(now, |at| at + SHOW_SPACING);
                if due > now {
                    self.show_at = Some(due);
                    return self.said_nothing(now);
                }
                let effects = self.show(now, ids);
                if effects.is_empty() { self.said_nothing(now) } else { effects }
            }
            Ok(Command::Request { segment, request, from }) => {
                self.requested(now, Subject { segment, request }, from, ids, store)
            }
            Ok(Command::Cancel(about)) => self.cancelled(about),
            Ok(Command::Data { segment, request, bytes }) => {
                self.answered(now, Subject { segment, request }, bytes)
            }
            Ok(Command::Completed(about)) => self.completed(now, about),
            Ok(Command::Absent(about)) => {
                // It may have said before that the segment is gone.
                let news = self.show_at.filter(|_| self.asking.is_some_and(|asking| asking.about == about));
                let mut effects = news.map(|_| self.show(now, ids)).unwrap_or_default();
                effects.extend(self.absent(now, about));
                effects
            }
            Err(CommandError::Unknown(_)) => self.said_nothing(now),
            Err(error) => vec![Effect::Violation(error.to_string())],
        }
    }

    /// The peer said what our side need not hear: a sign of life now and then is enough.
    fn said_nothing(&mut self, now: Time) -> Vec<Effect> {
        if self.life_at.is_none_or(|at| now >= at + SHOW_SPACING) {
            (self.life_at, self.quiet) = (Some(now), 0);
            return vec![Effect::life()];
        }
        self.quiet += 1;
        if self.quiet > MAX_QUIET {
            return vec![Effect::Violation(format!("more than {MAX_QUIET} messages at once"))];
        }
        Vec::new()
    }

    /// Bytes of a segment came: which download they are of, and from where on.
    pub fn body(&mut self, len: u32) -> DataHead {
        let Some(Asking { transfer, stage: Stage::Coming { next, end }, .. }) = &mut self.asking else {
            return DataHead { transfer: self.late, at: 0 };
        };
        let head = DataHead { transfer: *transfer, at: *next };
        *next = next.saturating_add(len);
        if *next >= *end {
            self.late = *transfer;
            self.asking = None;
        }
        head
    }

    /// Tells our side what the peer has, as far as that is different. Due when the playlist changed, too: a peer may
    /// be a refresh ahead of us.
    pub fn show(&mut self, now: Time, ids: &Ids<'_>) -> Vec<Effect> {
        (self.shown_at, self.show_at) = (Some(now), None);
        let mut shown = SortedMap::new();
        if self.loaded.iter().chain(&self.loading).all(|id| ids.fits(*id)) {
            let states = [(&self.loading, HaveState::FetchingHttp), (&self.loaded, HaveState::Loaded)];
            for (list, state) in states {
                for key in list.iter().filter_map(|id| ids.key(*id)) {
                    shown.insert(key, state);
                }
            }
        }
        let gone = self.shown.keys().filter(|key| !shown.contains_key(key));
        let mut entries: Vec<HaveEntry> =
            gone.map(|key| HaveEntry { key: *key, state: HaveState::Gone }).collect();
        // What is being loaded is told each time: our side forgets it after a while.
        let news = shown
            .iter()
            .filter(|(key, state)| **state != HaveState::Loaded || self.shown.get(key) != Some(state));
        entries.extend(news.map(|(key, state)| HaveEntry { key: *key, state: *state }));
        let mut effects = Vec::new();
        if entries.len() > 2 * MAX_HAVE_ENTRIES {
            effects.extend(snapshots(&self.shown, &shown).iter().map(Effect::frame));
            entries.retain(|entry| entry.state == HaveState::FetchingHttp);
        }
        self.shown = shown;
        effects.extend(
            entries
                .chunks(MAX_HAVE_ENTRIES)
                .map(|some| Effect::frame(&Frame::HaveDelta { entries: some.to_vec() })),
        );
        effects
    }

    /// When our side is to be [told](Gateway::show) what the peer has announced.
    pub fn show_due(&self) -> Option<Time> {
        self.show_at
    }

    /// When the peer is to be told what we have.
    pub fn announce_due(&self) -> Option<Time> {
        self.announce_at
    }

    /// Tells the peer what we have, if it was told something else last.
    pub fn announce(&mut self, now: Time, loaded: Vec<u64>, loading: Vec<u64>) -> Vec<Effect> {
        self.announce_at = None;
        let announcement = Command::Announcement { loaded, loading };
        if self.told.as_ref() == Some(&announcement) {
            return Vec::new();
        }
        let effects = self.send(&announcement);
        if std::mem::replace(&mut self.listens, true) {
            self.told = Some(announcement);
        } else {
            self.announce_again_at(now + UNHEARD);
        }
        effects
    }

    /// Has the peer told all that we have once more, after it was told that something is not there.
    pub(super) fn announce_again_at(&mut self, at: Time) {
        if self.setup.shares {
            self.told = None;
            self.announce_at = Some(self.announce_at.map_or(at, |due| due.min(at)));
        }
    }

    pub(super) fn send(&self, command: &Command) -> Vec<Effect> {
        let messages = command.encode(self.setup.max_message_bytes.min(MESSAGE_BYTES) as usize);
        messages.into_iter().map(Effect::Send).collect()
    }

    /// Asks the peer, from a byte on to the segment's end: there is no other way. Only one at a time.
    fn ask(
        &mut self,
        now: Time,
        transfer: TransferId,
        key: SegmentKey,
        from: u32,
        ids: &Ids<'_>,
    ) -> Vec<Effect> {
        if let Some(Asking { stage: Stage::Cancelled { at }, .. }) = self.asking
            && now.since(at) >= SETTLE
        {
            self.asking = None;
        }
        let refuse = |reason| vec![Effect::frame(&Frame::Refuse { transfer, reason })];
        if self.asking.is_some() {
            return refuse(RefuseReason::Busy);
        }
        let Some(segment) = ids.id(key) else { return refuse(RefuseReason::Absent) };
        self.next_request += 1;
        let request = self.next_request;
        let about = Subject { segment, request };
        self.asking = Some(Asking { transfer, key, about, from, stage: Stage::Asked });
        self.send(&Command::Request { segment, request, from: from.into() })
    }

    /// Our side wants a download no longer.
    fn give_up(&mut self, now: Time, transfer: TransferId) -> Vec<Effect> {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.transfer == transfer) else {
            return Vec::new();
        };
        let about = asking.about;
        self.late = transfer;
        if asking.stage == Stage::Asked {
            // The peer may be looking for the segment: then it does not heed the cancel, and answers a later request
            // with these bytes.
            asking.stage = Stage::Cancelled { at: now };
        } else {
            self.asking = None;
        }
        self.send(&Command::Cancel(about))
    }

    /// The peer says that bytes follow.
    fn answered(&mut self, now: Time, about: Subject, bytes: u64) -> Vec<Effect> {
        let Some(asking) = &mut self.asking else { return self.said_nothing(now) };
        let Asking { transfer, from, stage, .. } = *asking;
        if asking.about != about {
            // What follows belongs to a request of before. If ours was being answered, its answer ends here.
            return match stage {
                Stage::Coming { .. } => self.broken_off(),
                Stage::Asked | Stage::Cancelled { .. } => self.said_nothing(now),
            };
        }
        match stage {
            Stage::Cancelled { .. } => {
                self.asking = None;
                let mut effects = self.send(&Command::Cancel(about));
                effects.extend(self.said_nothing(now));
                effects
            }
            Stage::Coming { .. } => self.broken_off(),
            // A cache whose buffers were given away: the segment is not there, whatever was announced.
            Stage::Asked if bytes == 0 => self.not_there(RefuseReason::Absent),
            Stage::Asked => match u32::try_from(u64::from(from).saturating_add(bytes)) {
                Ok(end) => {
                    asking.stage = Stage::Coming { next: from, end };
                    vec![Effect::frame(&Frame::Accept { transfer, total_bytes: end })]
                }
                Err(_) => vec![Effect::Violation(format!("a segment of {bytes} bytes"))],
            },
        }
    }

    /// The peer says that it has sent everything; what is whole was taken note of when its last byte came.
    fn completed(&mut self, now: Time, about: Subject) -> Vec<Effect> {
        match self.asking {
            Some(Asking { about: of, stage, .. }) if of == about => match stage {
                Stage::Cancelled { .. } => {
                    self.asking = None;
                    self.said_nothing(now)
                }
                Stage::Asked | Stage::Coming { .. } => self.broken_off(),
            },
            _ => self.said_nothing(now),
        }
    }

    fn absent(&mut self, now: Time, about: Subject) -> Vec<Effect> {
        match self.asking {
            Some(Asking { about: of, stage, .. }) if of == about => {
                if matches!(stage, Stage::Cancelled { .. }) {
                    self.asking = None;
                    return self.said_nothing(now);
                }
                self.not_there(RefuseReason::Absent)
            }
            _ => self.said_nothing(now),
        }
    }

    fn broken_off(&mut self) -> Vec<Effect> {
        self.not_there(RefuseReason::Aborted)
    }

    /// Ends the present download from the peer's side.
    fn not_there(&mut self, reason: RefuseReason) -> Vec<Effect> {
        let Some(Asking { transfer, key, about, .. }) = self.asking.take() else { return Vec::new() };
        self.late = transfer;
        if reason == RefuseReason::Absent {
            // Our side takes it for gone as well.
            self.loaded.retain(|id| *id != about.segment);
            self.shown.remove(&key);
        }
        vec![Effect::frame(&Frame::Refuse { transfer, reason })]
    }
}

/// At most so many, sorted; the last ones are nearest to where viewers are.
fn bounded(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids.dedup();
    let surplus = ids.len().saturating_sub(MAX_ANNOUNCED);
    ids.drain(..surplus);
    ids
}

/// Everything that is loaded, one frame for each run of segments, also for those of which nothing is left.
fn snapshots(
    before: &SortedMap<SegmentKey, HaveState>,
    now: &SortedMap<SegmentKey, HaveState>,
) -> Vec<Frame> {
    let mut runs: Vec<_> =
        before.keys().chain(now.keys()).map(|key| (key.track, key.discontinuity)).collect();
    runs.sort_unstable();
    runs.dedup();
    runs.into_iter()
        .map(|(track, discontinuity)| {
            let loaded = now.iter().filter(|(key, state)| {
                (key.track, key.discontinuity) == (track, discontinuity) && **state == HaveState::Loaded
            });
            let sequences: Vec<u64> = loaded.map(|(key, _)| key.sequence).collect();
            let last = sequences.last().copied().unwrap_or(0);
            let earliest = last.saturating_sub(MAX_HAVE_BITS as u64 - 1);
            let first_sequence =
                sequences.iter().copied().find(|sequence| *sequence >= earliest).unwrap_or(0);
            let loaded = bitmap::from_sequences(first_sequence, sequences);
            Frame::Have { track, discontinuity, first_sequence, loaded }
        })
        .collect()
}
