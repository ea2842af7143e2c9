//! Where a segment should come from: pure functions from what is known to a choice.
//!
//! The settings are the bounds: what may be fetched how, how many at once, how far ahead, with what chance.
//! Coordination chooses *who* within them. Deadlines, not zones, decide when HTTP must take over: the time of need
//! less twice the expected HTTP download and a margin.

use crate::config::{Coordination, LoaderConfig};
use crate::time::Span;

use super::throughput::span_for;

/// Kept free before the time of need, for what no estimate knows: a slow first byte, a busy main thread.
const MARGIN: Span = Span::from_millis(500);
/// How long links are given to come up before a viewer whose tracker promised company goes on alone.
pub const CONNECT_GRACE: Span = Span::from_secs(4);
/// How much longer a viewer waits for them that has [`PLENTY`] in its buffer: on a busy machine they take so long.
pub const CONNECT_PATIENCE: Span = Span::from_secs(8);
/// What does not run short while peers are waited for.
const PLENTY: Span = Span::from_secs(10);
/// Segments beyond those the player has asked for that are fetched ahead under coordination. More would be fetched
/// for viewers that leave before they watch it.
pub const PREFETCH_SEGMENTS: u32 = 2;
/// What is needed no sooner than this need not be fetched ahead.
const AMPLE: Span = Span::from_secs(25);
/// The narrowest election slot: an announcement needs about this long to reach the neighbours.
const NARROWEST_SLOT: Span = Span::from_millis(150);
/// Slots are so many times as long as the draw interval where a fetch may be announced to none of the neighbours: word of it
/// comes by those who have got the segment. In a recording that a hundred viewers join within two minutes this saves a
/// twelfth of the fetches; twice as much saves no more.
const OUT_OF_SIGHT: u32 = 6;
/// Turns are told in so many parts of an election slot.
pub const PARTS_OF_SLOT: u32 = 128;
/// How often a download that is close to its deadline is looked at.
const CLOSE_LOOK: Span = Span::from_millis(200);
/// Without any measurement HTTP is taken to fetch a segment in this fraction of its duration.
const UNKNOWN_HTTP_FRACTION: u32 = 3;

/// What is known of the other viewers as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody else is there, or cannot be reached: play as a plain player would.
    Alone,
    /// No tracker has answered yet, or peers were promised and none is connected yet. Ends [`CONNECT_PATIENCE`] after
    /// [`CONNECT_GRACE`].
    Expected {
        /// How long to go on expecting, [`CONNECT_PATIENCE`] included.
        left: Span,
    },
    /// At least one peer is connected.
    Connected,
}

/// What the policy sees of the whole.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The settings.
    pub loader: &'a LoaderConfig,
    /// The other viewers.
    pub company: Company,
    /// HTTP rate in bits per second, if measured.
    pub http_bps: Option<u64>,
    /// The start-up mode of the settings, in which HTTP is forbidden.
    pub http_forbidden: bool,
}

/// A segment in the queue that is neither cached nor being downloaded.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// 0 is the segment needed now, +1 for each segment after it.
    pub priority: u32,
    /// How many segments it lies beyond what the player has asked for; 0 if the player waits for it.
    pub ahead_of_want: u32,
    /// How long until the player needs it.
    pub need_in: Span,
    /// Its duration.
    pub duration: Span,
    /// Its size in bytes, if it can be told.
    pub expected_bytes: Option<u64>,
    /// How long it has been known to be missing.
    pub missing_for: Span,
    /// How long it is left to those who are before us in the election, in [`PARTS_OF_SLOT`].
    pub slot: u32,
    /// Whether those out of sight are likely out of reach.
    pub swarm_in_sight: bool,
    /// Whether HTTP failed for it less than `httpFailedSegmentTimeout` ago.
    pub http_blocked: bool,
    /// Whether any peer says that it has it or is fetching it.
    pub announced: bool,
    /// How long the best peer that can serve it would take; `None` without such a peer.
    pub peer_span: Option<PeerSpan>,
}

/// How long a peer would take for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerSpan {
    /// It has not delivered anything yet.
    Unknown,
    /// By its measured rate and what it is doing already.
    About(Span),
}

/// Why a segment is fetched over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpReason {
    /// Nobody else is there.
    Alone,
    /// Waiting any longer would risk a stall.
    Deadline,
    /// The player needs it for stable playback and nobody has it.
    Required,
    /// We were elected to fetch it for everybody.
    Elected,
}

/// Where a segment should come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// From the origin.
    Http(HttpReason),
    /// From the best peer.
    Peer,
    /// From nowhere yet; look again after this time.
    Wait(Span),
    /// Nothing to do until something changes.
    Idle,
}

/// Whether a segment that the player has not asked for yet is looked at under coordination. With the swarm in sight
/// turns are short: who has enough to play takes it when the player asks, and has nothing more if the viewer leaves.
/// In a larger swarm it can take as long as a segment plays until somebody's turn comes.
pub fn is_due(ahead_of_want: u32, need_in: Span, swarm_in_sight: bool) -> bool {
    ahead_of_want <= PREFETCH_SEGMENTS && !(swarm_in_sight && need_in >= AMPLE)
}

impl View<'_> {
    /// The expected time of a whole HTTP download.
    pub fn http_span(&self, expected_bytes: Option<u64>, duration: Span) -> Span {
        match (self.http_bps, expected_bytes) {
            (Some(bps), Some(bytes)) => span_for(bytes, bps),
            _ => duration / UNKNOWN_HTTP_FRACTION,
        }
    }

    /// How long HTTP can still wait before a segment needed in `need_in` is in danger.
    pub fn http_slack(&self, need_in: Span, http_span: Span) -> Span {
        need_in.saturating_sub(http_span * 2 + MARGIN)
    }

    fn elects(&self) -> bool {
        self.loader.coordination != Coordination::Random
    }

    /// Chooses for one missing segment.
    pub fn choose(&self, item: &Item) -> Choice {
        let wanted = item.ahead_of_want == 0;
        if let Some(choice) = self.peer_choice(item) {
            return choice;
        }
        if item.http_blocked && !wanted {
            return Choice::Idle;
        }
        if self.http_forbidden {
            // The planner ends the start-up mode and looks again.
            return Choice::Idle;
        }
        if wanted { self.wanted_http(item) } else { self.ahead_http(item) }
    }

    /// A peer, where one can serve in time.
    fn peer_choice(&self, item: &Item) -> Option<Choice> {
        let span = item.peer_span?;
        if item.priority > self.loader.p2p_download_max_priority {
            return None;
        }
        let http_span = self.http_span(item.expected_bytes, item.duration);
        let thin = item.ahead_of_want == 0 && self.http_slack(item.need_in, http_span).is_zero();
        if !thin || self.http_forbidden || item.http_blocked {
            return Some(Choice::Peer);
        }
        match span {
            PeerSpan::About(span) if in_time(span, item.need_in, http_span) => Some(Choice::Peer),
            _ => None,
        }
    }

    /// HTTP for a segment that the player waits for.
    fn wanted_http(&self, item: &Item) -> Choice {
        let http_span = self.http_span(item.expected_bytes, item.duration);
        let slack = self.http_slack(item.need_in, http_span);
        match self.company {
            Company::Alone => Choice::Http(HttpReason::Alone),
            _ if slack.is_zero() => Choice::Http(HttpReason::Deadline),
            Company::Expected { left } => {
                let longer = left.min(slack.saturating_sub(PLENTY));
                match left.saturating_sub(CONNECT_PATIENCE).min(slack).max(longer) {
                    Span::ZERO => Choice::Http(HttpReason::Alone),
                    wait => Choice::Wait(wait),
                }
            }
            Company::Connected if self.elects() => self.elected(item, slack),
            Company::Connected if item.priority <= self.loader.required_segments_priority => {
                Choice::Http(HttpReason::Required)
            }
            Company::Connected => Choice::Wait(slack),
        }
    }

    /// HTTP for a segment that the player has not asked for yet.
    fn ahead_http(&self, item: &Item) -> Choice {
        if self.company != Company::Connected || !self.elects() {
            return Choice::Idle;
        }
        let http_span = self.http_span(item.expected_bytes, item.duration);
        match self.http_slack(item.need_in, http_span) {
            // Too late to coordinate: whoever needs it will ask for it.
            Span::ZERO => Choice::Idle,
            slack => self.elected(item, slack),
        }
    }

    /// Whether it is our turn to fetch a segment that nobody has.
    fn elected(&self, item: &Item, slack: Span) -> Choice {
        let wanted = item.ahead_of_want == 0;
        let otherwise = if wanted { Choice::Wait(slack) } else { Choice::Idle };
        let required = item.priority <= self.loader.required_segments_priority && wanted;
        let allowed = item.priority <= self.loader.http_download_max_priority
            && self.loader.http_download_probability > 0.0;
        if item.announced || !(required || allowed) {
            return otherwise;
        }
        if self.loader.coordination == Coordination::Neighbourhood && item.slot > 0 && !required {
            return otherwise;
        }
        let turn = self.slot_width(item, slack) * item.slot / PARTS_OF_SLOT;
        match turn.saturating_sub(item.missing_for) {
            Span::ZERO if !item.http_blocked => Choice::Http(HttpReason::Elected),
            Span::ZERO => otherwise,
            left => Choice::Wait(if wanted { left.min(slack) } else { left }),
        }
    }

    /// How long one election slot lasts: the draw interval of the settings, longer where word of a fetch takes longer,
    /// compressed when time is short.
    fn slot_width(&self, item: &Item, slack: Span) -> Span {
        let interval = Span::from_millis(self.loader.http_download_probability_interval);
        let longest = if item.swarm_in_sight { interval } else { interval * OUT_OF_SIGHT };
        (slack / 6).min(longest).max(NARROWEST_SLOT.min(interval))
    }
}

/// How a download from peers is doing.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How long until the player needs the segment.
    pub need_in: Span,
    /// Whether the player waits for it, or would be short without it.
    pub required: bool,
    /// How long it has been running.
    pub running_for: Span,
    /// How long ago a source was asked that has not sent anything yet.
    pub asked_for: Span,
    /// How long until the last byte, by the slowest of its sources; `None` if that cannot be told: a source is not
    /// measured yet, or nobody brings some of the bytes.
    pub left: Option<Span>,
    /// How long HTTP would take for what it would have to fetch.
    pub http_span: Span,
    /// Whether HTTP failed for it less than `httpFailedSegmentTimeout` ago.
    pub http_blocked: bool,
}

/// What to do with a download from peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// Let it run; look again after this time.
    Keep(Span),
    /// HTTP takes over.
    Fallback(&'static str),
    /// This peer is given up; another source is chosen afresh.
    GiveUp(&'static str),
}

impl View<'_> {
    /// Judges a running download from a peer. One that will make it is never aborted.
    pub fn review(&self, progress: &Progress) -> Review {
        let limit = Span::from_millis(self.loader.p2p_segment_download_timeout);
        if progress.running_for >= limit {
            return Review::GiveUp("p2pSegmentDownloadTimeout passed");
        }
        let look_again = limit - progress.running_for;
        if progress.http_blocked || self.http_forbidden || !progress.required {
            return Review::Keep(look_again);
        }
        let slack = self.http_slack(progress.need_in, progress.http_span);
        if !slack.is_zero() {
            return Review::Keep(slack.min(look_again));
        }
        match progress.left {
            Some(left) if in_time(left, progress.need_in, progress.http_span) => Review::Keep(CLOSE_LOOK),
            // Give a download that has only just begun the time of one answer.
            None if progress.asked_for < CLOSE_LOOK => Review::Keep(CLOSE_LOOK),
            Some(_) => Review::Fallback("the peer is too slow for the time of need"),
            None => Review::Fallback("the peer sends nothing and the segment is needed"),
        }
    }
}

/// Whether what takes a peer this long may be left to it. Rates fall when others ask the same peer. Whatever is quicker
/// than HTTP could be is never the worse choice.
fn in_time(span: Span, need_in: Span, http_span: Span) -> bool {
    span * 2 <= need_in || span * 2 <= http_span
}

/// Whether a random HTTP download is due, as the settings define it: with probability
/// `httpDownloadProbability` x candidates one of them is fetched. `roll` and `pick` are uniform in 0..1.
/// Returns the index of the candidate.
pub fn random_draw(
    loader: &LoaderConfig,
    connected_peers: usize,
    candidates: usize,
    roll: f64,
    pick: f64,
) -> Option<usize> {
    if candidates == 0 || (loader.http_download_probability_skip_if_no_peers && connected_peers == 0) {
        return None;
    }
    if roll >= loader.http_download_probability * candidates as f64 {
        return None;
    }
    Some(((pick * candidates as f64) as usize).min(candidates - 1))
}

#[cfg(test)]
mod tests;
