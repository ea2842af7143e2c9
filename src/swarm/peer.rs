//! One link and the peer at its other end.

use crate::config::LimitsConfig;
use crate::id::{LinkId, PeerId, SegmentKey, TransferId};
use crate::time::{Span, Time};
use crate::wire::{HaveState, Interest};

use super::api::{Close, PeerView, SwarmNotice, SwarmOut};
use super::buckets::TokenBucket;
use super::downloads::Downloads;
use super::have_map::HaveMap;
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::rate::Recent;
use super::trust::Trust;

/// Pings, pongs, interests and unknown extensions taken from a peer: on average a second, and at once.
const CHATTER: (u32, u32) = (20, 100);
/// Frames beyond their bucket are ignored; a peer that sends so many in a row is closed.
const IGNORED: (u32, u32) = (1, 50);

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the hello.
    Greeting {
        /// Until when.
        until: Time,
    },
    /// In use.
    Ready,
    /// A second link to a peer, which stays hidden until it is clear which of the two to keep.
    Twin {
        /// The link in use.
        rival: LinkId,
        /// Until when.
        until: Time,
        /// Whether the rival gave cause for doubt: then it goes if it stays silent. Otherwise the other side, which
        /// made both links, closes one.
        doubt: bool,
    },
}

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) link: LinkId,
    /// As the tracker told.
    pub(super) expected: Option<PeerId>,
    /// As the hello told.
    pub(super) id: Option<PeerId>,
    /// Whether we made the offer.
    pub(super) initiator: bool,
    /// Largest message that the transport takes.
    pub(super) transport_bytes: u32,
    pub(super) phase: Phase,
    /// When it became ready.
    pub(super) since: Time,
    pub(super) uploads: bool,
    pub(super) cut_through: bool,
    pub(super) have: HaveMap,
    pub(super) interest: Option<Interest>,
    pub(super) pulse: Pulse,
    pub(super) trust: Trust,
    pub(super) down: Downloads,
    pub(super) outbox: Outbox,
    /// What we may still ask for: a little less than what the other side takes, as messages bunch up on the way.
    pub(super) asking: TokenBucket,
    pub(super) requests: TokenBucket,
    pub(super) rejects: TokenBucket,
    pub(super) announcements: TokenBucket,
    pub(super) chatter: TokenBucket,
    ignored: TokenBucket,
    pub(super) worth: Recent,
    pub(super) downloaded_bytes: u64,
    pub(super) uploaded_bytes: u64,
}

impl Peer {
    #[expect(clippy::too_many_arguments, reason = "called once, with what the engine knows of a link")]
    pub(super) fn new(
        now: Time,
        link: LinkId,
        expected: Option<PeerId>,
        initiator: bool,
        transport_bytes: u32,
        first_transfer: u32,
        first_nonce: u32,
        limits: &LimitsConfig,
    ) -> Peer {
        let ping = Span::from_millis(limits.ping_interval_ms);
        let bucket = |(per_second, burst)| TokenBucket::new(now, per_second, burst);
        let requests = (limits.requests_per_second, limits.requests_burst);
        let less = |n: u32| (n - n / 10).max(1);
        Peer {
            link,
            expected,
            id: None,
            initiator,
            transport_bytes,
            phase: Phase::Greeting { until: now + Span::from_millis(limits.hello_timeout_ms) },
            since: now,
            uploads: false,
            cut_through: false,
            have: HaveMap::new(limits.have_window),
            interest: None,
            pulse: Pulse::new(now, ping, limits.missed_pings_before_close, first_nonce),
            trust: Trust::new(limits),
            down: Downloads::new(TransferId(first_transfer)),
            outbox: Outbox::new(0),
            asking: bucket((less(requests.0), less(requests.1))),
            requests: bucket(requests),
            rejects: bucket((1, limits.rejects_before_close)),
            announcements: bucket((limits.have_updates_per_second, limits.have_updates_burst)),
            chatter: bucket(CHATTER),
            ignored: bucket(IGNORED),
            worth: Recent::default(),
            downloaded_bytes: 0,
            uploaded_bytes: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Tells the engine that what a ready peer has is different now.
    pub(super) fn have_changed(&self, out: &mut SwarmOut<'_>) {
        if self.is_ready() {
            out.notice(SwarmNotice::HaveChanged { link: self.link });
        }
    }

    pub(super) fn has_greeted(&self) -> bool {
        !matches!(self.phase, Phase::Greeting { .. })
    }

    /// Whether nothing is under way in either direction.
    pub(super) fn is_idle(&self) -> bool {
        self.down.len() == 0 && self.outbox.len() == 0
    }

    /// A frame was ignored because there were too many of its kind.
    pub(super) fn ignore(&mut self, now: Time, what: &str) -> Result<(), Close> {
        if self.ignored.take(now) {
            return Ok(());
        }
        Err(Close::violation(format!("went on sending {what} far above the rate that is taken")))
    }

    /// A request was refused because the peer asked too much.
    pub(super) fn reject(&mut self, now: Time, limits: &LimitsConfig) -> Result<(), Close> {
        if self.rejects.take(now) {
            return Ok(());
        }
        Err(Close::violation(format!(
            "more than {} requests had to be refused for asking too much",
            limits.rejects_before_close
        )))
    }

    /// What it says of a segment. A peer that may not be asked has nothing.
    pub(super) fn state(&self, key: SegmentKey, clock: Time) -> HaveState {
        if self.is_ready() && self.uploads && self.trust.ignored_until(clock).is_none() {
            self.have.state(key, clock)
        } else {
            HaveState::Gone
        }
    }

    pub(super) fn view(&self, clock: Time) -> Option<PeerView<'_>> {
        let peer = self.id.filter(|_| self.is_ready())?;
        Some(PeerView {
            link: self.link,
            peer,
            since: self.since,
            rtt: self.pulse.rtt(),
            download_rate: self.down.meter.bytes_per_second(),
            outstanding: self.down.len(),
            outstanding_bytes: self.down.outstanding_bytes(),
            slow: self.down.is_slow(),
            uploads: self.uploads,
            cut_through: self.cut_through,
            ignored_until: self.trust.ignored_until(clock),
            interest: self.interest,
            of: self,
            clock,
        })
    }

    /// When something is due here.
    pub(super) fn next_deadline(&self, longest_download: Span, limits: &LimitsConfig) -> Time {
        let phase = match self.phase {
            Phase::Greeting { until } => return until,
            Phase::Twin { until, .. } => Some(until),
            Phase::Ready => None,
        };
        let own = self.pulse.next_at();
        let others = [
            phase,
            self.have.next_expiry(),
            self.down.next_deadline(longest_download, limits),
            self.outbox.next_deadline(limits),
        ];
        others.into_iter().flatten().fold(own, Time::min)
    }
}
