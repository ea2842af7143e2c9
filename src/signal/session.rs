//! One tracker: opening, announcing, waiting to try again.

use crate::engine::{Event, Output, TrackerState, TrackerStats};
use crate::id::TrackerId;
use crate::time::{Span, Time};

use super::Cx;
use super::backoff::{Backoff, Bucket};
use super::message::Announced;

/// A tracker that does not open within this time is given up for now.
const OPEN_TIMEOUT: Span = Span::from_secs(10);
/// A tracker that does not reply to an announce within this time is given up for now.
const REPLY_TIMEOUT: Span = Span::from_secs(15);
/// The same when there is reason to think that the socket is dead: after sleep or a change of networks.
const SUSPECT_REPLY_TIMEOUT: Span = Span::from_secs(5);
/// The two for a tracker that has other nodes: with the wait before the next one is tried, a viewer is elsewhere within
/// five seconds.
const NODE_OPEN_TIMEOUT: Span = Span::from_secs(3);
const NODE_REPLY_TIMEOUT: Span = Span::from_secs(3);
/// When a node that was used fails, the next one is tried after a random wait of up to this long, so that the viewers of
/// one that died do not storm another.
const NEXT_NODE_WITHIN: Span = Span::from_millis(1500);
/// The same when the node was never used: viewers come one by one, and somebody waits for the first segment.
const OTHER_NODE_WITHIN: Span = Span::from_millis(250);
/// A session that lasted this long was healthy: the waits between attempts start over.
const HEALTHY_AFTER: Span = Span::from_secs(30);
/// Announce interval when the tracker gives none.
const DEFAULT_INTERVAL: Span = Span::from_secs(120);
/// Shortest announce interval that a tracker may ask for.
const MIN_INTERVAL: Span = Span::from_secs(10);
/// Longest announce interval that a tracker may ask for: beyond it, new viewers are seen too late.
const MAX_INTERVAL: Span = Span::from_secs(300);
/// The second announce comes this long after the first, and the waits double up to the interval: a young swarm grows
/// fast, and those who share the work by its size must know it.
const FIRST_REFRESH: Span = Span::from_secs(10);
/// The last word of a tracker that is away is believed for this long.
const SIZE_LIFE: Span = Span::from_secs(300);
/// Announces for the sake of more links are at least this far apart, and as far as the tracker's minimum interval.
const MIN_EARLY_GAP: Span = Span::from_secs(15);
/// So often an offer is tried although all members that a tracker counts are linked: the count may be old, and another
/// tracker's members are counted too.
pub(super) const PROBE_EVERY: Span = Span::from_secs(300);
/// How long the first announce waits for a first offer once the tracker is open.
pub(super) const FIRST_WAIT: Span = Span::from_millis(150);
/// The first wait after a refused announce. It doubles up to the announce interval.
const REFUSED_WAIT: Span = Span::from_secs(5);

/// Where a session stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Peer-to-peer is off.
    Idle,
    /// The WebSocket is being opened.
    Opening { since: Time },
    /// The WebSocket is open.
    Open(Open),
    /// The next attempt is made at `until`.
    Waiting { until: Time },
}

/// What is true of a session while its WebSocket is open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) since: Time,
    /// `started` was sent and not refused.
    pub(super) started: bool,
    /// An announce was answered well.
    pub(super) answered: bool,
    /// Announce at this time, with or without offers.
    pub(super) due: Time,
    /// The wait after the next announce, unless the interval is shorter.
    refresh: Span,
    last_announce: Time,
    /// No announce before this time.
    pub(super) hold_until: Time,
    /// Without a reply until then the session is dead.
    pub(super) reply_due: Option<Time>,
    /// Announces of which the reply is outstanding, oldest first.
    pub(super) unanswered: Vec<u32>,
}

impl Open {
    /// The announce that a reply is for: trackers answer in order. The next one has until `patience_ends`.
    fn take_unanswered(&mut self, patience_ends: Time) -> Option<u32> {
        let batch = (!self.unanswered.is_empty()).then(|| self.unanswered.remove(0));
        self.reply_due = (!self.unanswered.is_empty()).then_some(patience_ends);
        batch
    }
}

/// Offers that a session is to send with its next announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Want {
    /// How many.
    pub(super) offers: usize,
    /// Those that are ready go alone from this time on.
    pub(super) split_at: Time,
    /// The wish is dropped then.
    pub(super) until: Time,
}

/// What became of the offers since a session was last granted some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// When the first of them left.
    pub(super) offered: Option<Time>,
    pub(super) answered: bool,
}

/// One tracker.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: TrackerId,
    /// The nodes of the tracker, of which one is used at a time.
    nodes: Vec<String>,
    /// Which one.
    node: usize,
    /// Nodes in a row that failed.
    failed_nodes: usize,
    pub(super) phase: Phase,
    /// Counts the sessions with this tracker.
    pub(super) number: u32,
    pub(super) want: Want,
    /// No announce only for the sake of offers before this time.
    pub(super) early_after: Time,
    /// Rounds of offers in a row that nobody answered.
    pub(super) fruitless: u32,
    /// The present round.
    pub(super) round: Round,
    /// No offer for members that are all known before this time.
    pub(super) probe_after: Time,
    /// The swarm is to be told that we have everything.
    pub(super) tell_complete: bool,
    pub(super) trickle: bool,
    pub(super) reports: bool,
    pub(super) messages: Bucket,
    complaints: Bucket,
    backoff: Backoff,
    refusals: u32,
    /// Members with everything, the others, and when the tracker said so.
    counted: Option<(u32, u32, Time)>,
    interval: Span,
    min_interval: Span,
}

impl Session {
    pub(super) fn new(id: TrackerId, nodes: Vec<String>) -> Session {
        Session {
            id,
            nodes,
            node: 0,
            failed_nodes: 0,
            phase: Phase::Idle,
            number: 0,
            want: Want::default(),
            early_after: Time::ZERO,
            fruitless: 0,
            round: Round::default(),
            probe_after: Time::ZERO,
            tell_complete: false,
            trickle: false,
            reports: false,
            messages: Bucket::new(500, Span::from_millis(10)),
            complaints: Bucket::new(5, Span::from_secs(10)),
            backoff: Backoff::default(),
            refusals: 0,
            counted: None,
            interval: DEFAULT_INTERVAL,
            min_interval: Span::ZERO,
        }
    }

    fn url(&self) -> String {
        self.nodes.get(self.node).cloned().unwrap_or_default()
    }

    fn has_other_nodes(&self) -> bool {
        self.nodes.len() > 1
    }

    fn open_timeout(&self) -> Span {
        if self.has_other_nodes() { NODE_OPEN_TIMEOUT } else { OPEN_TIMEOUT }
    }

    fn reply_timeout(&self) -> Span {
        if self.has_other_nodes() { NODE_REPLY_TIMEOUT } else { REPLY_TIMEOUT }
    }

    pub(super) fn opened(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(super) fn opened_mut(&mut self) -> Option<&mut Open> {
        match &mut self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Members of the swarm, ourselves included, by the tracker's last word.
    pub(super) fn size(&self) -> Option<u32> {
        self.counted.map(|(complete, incomplete, _)| complete.saturating_add(incomplete))
    }

    /// Other members of the swarm that the tracker knows of.
    pub(super) fn others(&self) -> Option<usize> {
        self.size().map(|size| size.saturating_sub(1) as usize)
    }

    /// There are more viewers than the tracker said: asks again soon.
    pub(super) fn outgrown(&mut self, now: Time) {
        let wait = FIRST_REFRESH.max(self.min_interval);
        if let Phase::Open(open) = &mut self.phase {
            open.refresh = FIRST_REFRESH;
            open.due = open.due.min((open.last_announce + wait).max(now));
        }
    }

    pub(super) fn stats(&self) -> TrackerStats {
        let state = match &self.phase {
            Phase::Idle => TrackerState::Idle,
            Phase::Open(open) if open.answered => TrackerState::Connected,
            Phase::Opening { .. } | Phase::Open(_) => TrackerState::Connecting,
            Phase::Waiting { .. } => TrackerState::Waiting,
        };
        let connected = state == TrackerState::Connected;
        let (complete, incomplete, _) = self.counted.filter(|_| connected).unwrap_or_default();
        TrackerStats { url: self.url(), state, complete, incomplete }
    }

    /// Asks the shell to open the WebSocket.
    pub(super) fn open(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Idle && self.has_other_nodes() {
            // Viewers spread over the nodes.
            self.node = cx.rng.below(self.nodes.len() as u64) as usize;
        }
        self.phase = Phase::Opening { since: cx.now };
        cx.out.push_back(Output::OpenTracker { tracker: self.id, url: self.url() });
    }

    /// The WebSocket is open.
    pub(super) fn up(&mut self, now: Time) {
        self.number = self.number.wrapping_add(1);
        self.early_after = now;
        self.probe_after = now + PROBE_EVERY;
        self.fruitless = 0;
        self.round = Round::default();
        self.refusals = 0;
        self.trickle = false;
        self.reports = false;
        self.phase = Phase::Open(Open {
            since: now,
            started: false,
            answered: false,
            due: now + FIRST_WAIT,
            refresh: FIRST_REFRESH,
            last_announce: now,
            hold_until: now,
            reply_due: None,
            unanswered: Vec::new(),
        });
    }

    /// An announce numbered `batch` was sent.
    pub(super) fn announced(&mut self, cx: &mut Cx<'_>, batch: u32) {
        let (interval, min_interval, patience) = (self.interval, self.min_interval, self.reply_timeout());
        if let Phase::Open(open) = &mut self.phase {
            if open.started && open.due <= cx.now {
                open.refresh = (open.refresh * 2).min(interval);
            }
            open.last_announce = cx.now;
            open.started = true;
            open.unanswered.push(batch);
            open.reply_due.get_or_insert(cx.now + patience);
            // A little less than the interval, and not in step with others: the tracker counts a member out soon after.
            let wait = open.refresh.min(interval).mul_f64(cx.rng.between(0.85, 1.0));
            open.due = cx.now + wait.max(min_interval);
        }
    }

    /// The tracker replied. Gives the number of the announce it replied to.
    pub(super) fn replied(&mut self, cx: &mut Cx<'_>, reply: &Announced) -> Option<u32> {
        self.counted = Some((reply.complete, reply.incomplete, cx.now));
        self.trickle = reply.trickle;
        self.reports = reply.reports;
        self.interval = reply.interval.unwrap_or(DEFAULT_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL);
        self.min_interval = reply.min_interval.unwrap_or_default().min(self.interval);
        self.refusals = 0;
        self.failed_nodes = 0;
        let (interval, patience, url) = (self.interval, self.reply_timeout(), self.url());
        let Phase::Open(open) = &mut self.phase else { return None };
        let batch = open.take_unanswered(cx.now + patience);
        // The interval may have become shorter.
        open.due = open.due.min(cx.now + interval);
        if !open.answered {
            open.answered = true;
            cx.out.push_back(Output::Event(Event::TrackerConnected { url }));
        }
        if let Some(warning) = &reply.warning {
            self.complain(cx, format!("warning: {warning}"));
        }
        batch
    }

    /// The tracker refused something. Gives the number of the announce it was, if one was waiting for a reply.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, reason: String) -> Option<u32> {
        self.complain(cx, reason);
        let interval = self.interval;
        let refusals = self.refusals;
        let patience = self.reply_timeout();
        let Phase::Open(open) = &mut self.phase else { return None };
        let batch = open.take_unanswered(cx.now + patience)?;
        let wait = (REFUSED_WAIT * (1 << refusals.min(10))).min(interval);
        open.due = cx.now + wait.mul_f64(cx.rng.between(0.75, 1.25));
        open.hold_until = open.due;
        if !open.answered {
            open.started = false;
        }
        self.refusals = refusals.saturating_add(1);
        Some(batch)
    }

    /// Tells the page, not too often, that the tracker misbehaves.
    pub(super) fn complain(&mut self, cx: &mut Cx<'_>, message: String) {
        if self.complaints.take(cx.now) {
            cx.out.push_back(Output::Event(Event::TrackerError { url: self.url(), message }));
        }
    }

    /// The session is over: the next attempt comes after a wait.
    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, reason: String) {
        let used = self.opened().filter(|open| open.answered).map(|open| open.since);
        if used.is_some_and(|since| cx.now.since(since) >= HEALTHY_AFTER) {
            self.backoff.reset();
        }
        let url = self.url();
        self.failed_nodes += 1;
        self.node = (self.node + 1) % self.nodes.len().max(1);
        let wait = if self.failed_nodes < self.nodes.len() {
            let span = if used.is_some() { NEXT_NODE_WITHIN } else { OTHER_NODE_WITHIN };
            span.mul_f64(cx.rng.unit())
        } else {
            self.failed_nodes = 0;
            self.backoff.next_wait(cx.now, cx.rng)
        };
        self.phase = Phase::Waiting { until: cx.now + wait };
        self.want = Want::default();
        cx.out.push_back(Output::Event(Event::TrackerClosed { url, reason, retry_ms: wait.as_millis() }));
    }

    /// Closes the WebSocket from our side, if there is one.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.phase, Phase::Opening { .. } | Phase::Open(_)) {
            cx.out.push_back(Output::CloseTracker { tracker: self.id });
        }
        self.phase = Phase::Idle;
        self.want = Want::default();
        self.counted = None;
        self.backoff.reset();
    }

    /// What made the tracker refuse us may be mended: announces at once if it did.
    pub(super) fn retry(&mut self, now: Time) {
        if let (Phase::Open(open), true) = (&mut self.phase, self.refusals > 0) {
            open.due = now;
            open.hold_until = now;
            self.refusals = 0;
        }
    }

    /// The device slept or changed networks: try now what would be tried later, and trust no open socket.
    pub(super) fn shaken(&mut self, now: Time) {
        self.backoff.reset();
        let patience = SUSPECT_REPLY_TIMEOUT.min(self.reply_timeout());
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Opening { since } => *since = now,
            Phase::Waiting { until } => *until = now,
            Phase::Open(open) => {
                open.due = now;
                open.hold_until = now;
                open.reply_due = Some(now + patience);
            }
        }
    }

    /// Forgets the last word of a tracker that is away too long.
    pub(super) fn age(&mut self, now: Time) {
        if self.opened().is_none_or(|open| !open.answered)
            && self.counted.is_some_and(|(_, _, at)| at + SIZE_LIFE <= now)
        {
            self.counted = None;
        }
    }

    /// What is overdue, if anything: why the session must be given up.
    pub(super) fn overdue(&self, now: Time) -> Option<&'static str> {
        match &self.phase {
            Phase::Opening { since } if *since + self.open_timeout() <= now => {
                Some("could not be opened in time")
            }
            Phase::Open(Open { reply_due: Some(at), .. }) if *at <= now => Some("no reply to the announce"),
            _ => None,
        }
    }

    /// When the session must be looked at again, offers aside. An announce that is due and waits for its offers wakes
    /// with them.
    pub(super) fn next_wake(&self, now: Time, online: bool) -> Option<Time> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Opening { since } => Some(*since + self.open_timeout()),
            Phase::Waiting { until } => online.then_some(*until),
            Phase::Open(open) => {
                let due = Some(open.due.max(open.hold_until)).filter(|due| *due > now);
                match (due, open.reply_due) {
                    (Some(due), Some(reply)) => Some(due.min(reply)),
                    (due, reply) => due.or(reply),
                }
            }
        }
    }

    /// How far apart announces for the sake of more links are now.
    pub(super) fn early_gap(&self) -> Span {
        let gap = self.min_interval.max(MIN_EARLY_GAP) * (1 << self.fruitless.min(5));
        gap.min(self.interval.max(MIN_EARLY_GAP))
    }
}
