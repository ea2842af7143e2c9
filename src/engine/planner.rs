//! Asks the policy about every segment in the queue and carries its choices out.
//!
//! A pass goes over the running downloads first (one that will miss its deadline is replaced), then over the missing
//! segments in the order in which the player needs them. Slots are given in that order, so that a needed segment
//! takes the slot of one that can wait. Far ahead, the rarest come first.

use crate::sorted::{SortedSet, sort_by_key};

use crate::config::Coordination;
use crate::id::SegmentKey;
use crate::schedule::download::Download;
use crate::schedule::policy::{
    self, CONNECT_GRACE, CONNECT_PATIENCE, Choice, Company, HttpReason, Item, PARTS_OF_SLOT, Progress,
    Review, View,
};
use crate::time::{Span, Time};

use super::Engine;
use super::io::{FetchError, RequestFailure};
use super::queue::Queued;

/// A tracker that has not answered after this long is not waited for.
const TRACKER_GRACE: Span = Span::from_secs(2);
/// A peer that has not said what it has so long after its handshake has nothing.
const SNAPSHOT_GRACE: Span = Span::from_millis(500);
/// Downloads from peers are looked after so often.
const LOOK_AFTER: Span = Span::from_millis(300);
/// What waits is looked at so often: a peer that was busy may be asked again before its time has come, though nothing else
/// happens, as while the player is paused.
const LOOK_AGAIN: Span = Span::from_secs(1);
/// What HTTP may take beyond twice the expected time before it counts as slow.
const PATIENCE: Span = Span::from_millis(500);
/// Who has met the first peer so lately lets others fetch first: links to all of them do not come up at once.
const SETTLING: Span = Span::from_secs(1);
/// An HTTP download that has brought nothing after this long gives way to a peer that has the segment.
const SLOW_HTTP: Span = Span::from_millis(2500);

impl Engine {
    /// One pass over everything that is wanted or may be wanted soon.
    pub(super) fn plan(&mut self) {
        self.plan_at = None;
        self.settle_due();
        self.forget_old_marks();
        let mut queue = self.queue();
        // Far ahead the rarest come first: what few have spreads from here while there is time. Two segments, which is what
        // is fetched ahead under coordination, gain nothing by that order.
        let at_random = self.config.loader.coordination == Coordination::Random;
        sort_by_key(&mut queue, |queued| {
            let rarity = if at_random && queued.ahead_of_want > 0 { queued.holders } else { 0 };
            (queued.ahead_of_want > 0, rarity, queued.need_in)
        });
        self.end_initial_mode(&queue);
        self.tell_interest();
        self.drop_unqueued(&queue);
        let company = self.company();
        // When time is short the line is for what the player waits for: with HTTP alone nothing else would be on it.
        let tight = self.time_is_short(&queue, company);
        for queued in &queue {
            self.review(queued, company, tight);
        }
        self.time_out_http();
        let in_sight = self.swarm_in_sight();
        for queued in &queue {
            let is_due = at_random || policy::is_due(queued.ahead_of_want, queued.need_in, in_sight);
            if queued.ahead_of_want == 0 || !tight && is_due {
                self.choose(queued, company, in_sight);
            } else if tight && self.downloads.http_count() > 0 {
                // What can wait would take a part of the line from what comes over HTTP in the last moment.
                self.cancel_transfers(queued.key);
            }
        }
        self.draw(&queue, company);
        if let Some(at) = self.http_limits().map(|(_, limit)| limit).min() {
            self.plan_again_at(at);
        }
        let sourceless = |key: &SegmentKey| self.downloads.get(*key).is_none_or(Download::is_orphaned);
        self.is_short = self.missing_since.keys().any(sourceless);
    }

    /// Whether the line is to be left to what the player waits for: it stands still, or would soon if that came over HTTP
    /// and something else beside it. Not where HTTP is what is slow: then it takes little of the line.
    fn time_is_short(&self, queue: &[Queued], company: Company) -> bool {
        let view = self.view(company);
        let late = |queued: &Queued| {
            let span = view.http_span(queued.expected_bytes, queued.duration);
            let download = self.downloads.get(queued.key);
            let http = download.and_then(|download| download.http.as_ref());
            let is_slow = span * 2 > queued.duration
                || self.failed.contains_key(&queued.key)
                || http.is_some_and(|http| self.now.since(http.started) > span * 2 + PATIENCE);
            let has_arrived = download.is_some_and(|download| download.verifying);
            // What comes beside it takes as long again.
            let spare = view.http_slack(queued.need_in, span).saturating_sub(queued.duration);
            !is_slow && !has_arrived && spare.is_zero()
        };
        let mut wanted = queue.iter().take_while(|queued| queued.ahead_of_want == 0).peekable();
        wanted.peek().is_none() && self.player.is_dry(self.now) || wanted.any(late)
    }

    pub(super) fn plan_again_at(&mut self, at: Time) {
        self.plan_at = Some(self.plan_at.map_or(at, |planned| planned.min(at)));
    }

    fn plan_again_in(&mut self, wait: Span) {
        // Never at the same moment again: a wait of zero would spin.
        self.plan_again_at(self.now + wait.max(Span::from_millis(10)));
    }

    fn forget_old_marks(&mut self) {
        let now = self.now;
        self.shunned.retain(|_, until| *until > now);
        self.failed.retain(|_, (until, _)| *until > now);
    }

    fn company(&self) -> Company {
        if !self.p2p_on || !self.online || self.config.loader.tracker_announce.is_empty() {
            return Company::Alone;
        }
        if let Some(company) = self.company_of_peers() {
            return company;
        }
        let lonely_for = self.now.since(self.company_since);
        let grace = match self.viewers() {
            Some(0 | 1) => return Company::Alone,
            None if self.signal.all_unreachable() => return Company::Alone,
            Some(_) => CONNECT_GRACE,
            None => TRACKER_GRACE,
        };
        Company::Expected { left: (grace + CONNECT_PATIENCE).saturating_sub(lonely_for) }
    }

    /// Peers count once one has said what it has: before that, everything looks as if nobody had it, and an election
    /// would be won by default. `None` without peers.
    fn company_of_peers(&self) -> Option<Company> {
        let mut waiting: Option<Span> = None;
        for peer in self.swarm.peers() {
            let left = SNAPSHOT_GRACE.saturating_sub(self.now.since(peer.since));
            // What a peer has comes first, where its player is comes last.
            if peer.interest.is_some() || left.is_zero() {
                return Some(Company::Connected);
            }
            waiting = Some(waiting.map_or(left, |other| other.min(left)));
        }
        waiting.map(|left| Company::Expected { left: left + CONNECT_PATIENCE })
    }

    /// The start-up mode of the settings: HTTP is forbidden until its time has passed, or the needed segment has
    /// waited its own time, or nobody else is there. Then it ends for good.
    fn end_initial_mode(&mut self, queue: &[Queued]) {
        if self.initial_mode_over {
            return;
        }
        let until = Time::from_millis(self.config.loader.http_download_initial_timeout);
        let patience = Span::from_millis(self.config.loader.http_download_initial_timeout_per_segment);
        let needed = queue.iter().find(|queued| queued.ahead_of_want == 0 && queued.priority == 0);
        let waited = needed.and_then(|queued| self.waiting_since(queued.key));
        let over = self.now >= until
            || waited.is_some_and(|since| self.now.since(since) >= patience)
            || self.company() == Company::Alone;
        self.initial_mode_over = over;
        if !over {
            let next = waited.map_or(until, |since| until.min(since + patience));
            self.plan_again_at(next);
        }
    }

    fn waiting_since(&self, key: SegmentKey) -> Option<Time> {
        self.downloads.wants().filter(|(_, want)| want.key == key).map(|(_, want)| want.since).min()
    }

    /// Stops what nobody waits for any more: after a seek or a rendition switch. What is nearly there may finish.
    fn drop_unqueued(&mut self, queue: &[Queued]) {
        let queued: SortedSet<SegmentKey> = queue.iter().map(|queued| queued.key).collect();
        self.missing_since.retain(|key, _| queued.contains(key));
        let stale: Vec<SegmentKey> = self
            .downloads
            .iter()
            .filter(|download| !download.verifying && !queued.contains(&download.key))
            .filter(|download| !nearly_done(download))
            .map(|download| download.key)
            .collect();
        for key in stale {
            self.abandon(key);
        }
    }

    fn view(&self, company: Company) -> View<'_> {
        View {
            loader: &self.config.loader,
            company,
            http_bps: self.http_rate.bps(),
            http_forbidden: !self.initial_mode_over,
        }
    }

    /// Looks after a running download.
    fn review(&mut self, queued: &Queued, company: Company, tight: bool) {
        let Some(download) = self.downloads.get(queued.key) else { return };
        if download.verifying {
            return;
        }
        if let Some(http) = &download.http {
            let brings_nothing = download.received.is_empty() && self.now.since(http.started) >= SLOW_HTTP;
            let started = http.started;
            if brings_nothing && self.best_peer(queued, true, &[]).is_some() {
                self.abandon(queued.key);
                // Else the time of need would choose HTTP once more.
                self.failed.insert(queued.key, (self.now + SLOW_HTTP, FetchError::Timeout));
            } else if download.received.is_empty() {
                self.plan_again_at((started + SLOW_HTTP).max(self.now + SLOW_HTTP / 10));
            }
            return;
        }
        let Some(first) = download.peers.iter().map(|source| source.started).min() else { return };
        let unheard = download.peers.iter().filter(|source| source.first_byte.is_none());
        let last = unheard.map(|source| source.started).max().unwrap_or(first);
        let missing_bytes = download
            .missing_bytes()
            .or_else(|| Some(queued.expected_bytes?.saturating_sub(download.received.len())));
        let left = download.time_left(self.now, queued.expected_bytes);
        let view = self.view(company);
        let refetched = match (self.config.loader.http_download_ranges && self.takes_ranges(), missing_bytes)
        {
            (true, Some(missing)) => Some(missing),
            _ => queued.expected_bytes,
        };
        let progress = Progress {
            need_in: queued.need_in,
            required: queued.ahead_of_want == 0
                || queued.priority <= self.config.loader.required_segments_priority && !tight,
            running_for: self.now.since(first),
            asked_for: self.now.since(last),
            left,
            http_span: view.http_span(refetched, queued.duration),
            http_blocked: self.failed.contains_key(&queued.key) || !self.online,
        };
        match view.review(&progress) {
            Review::Keep(wait) => {
                self.plan_again_in(wait.min(LOOK_AFTER));
                self.find_helpers(queued);
            }
            Review::GiveUp(_) => {
                let sources: Vec<_> = download.peers.iter().map(|s| (s.link, s.transfer)).collect();
                for (link, transfer) in sources {
                    self.give_up_transfer(link, transfer);
                }
            }
            Review::Fallback(reason) => self.replace_by_http(queued, reason),
        }
    }

    fn replace_by_http(&mut self, queued: &Queued, reason: &str) {
        if !self.make_room_for_http(queued) {
            self.plan_again_in(Span::from_millis(200));
            return;
        }
        self.cancel_transfers(queued.key);
        self.start_http(queued.key);
        let kept = self.downloads.get(queued.key).map_or(0, |download| download.received.len());
        self.fall_back(queued.key, reason, kept);
    }

    /// Chooses a source for a missing segment.
    fn choose(&mut self, queued: &Queued, company: Company, swarm_in_sight: bool) {
        if self.downloads.get(queued.key).is_some_and(|download| !download.is_orphaned()) {
            return;
        }
        // Turns are counted from when it may be fetched: else all of them have passed by then, for each viewer in step.
        let since = *self.missing_since.entry(queued.key).or_insert(self.now);
        // Whoever has just met others does not know yet what they are doing.
        let is_new = self.now.since(self.company_since) < SETTLING;
        let best = self.best_peer(queued, false, &[]);
        let announced = queued.holders > 0;
        let http_blocked = self.failed.contains_key(&queued.key) || !self.online;
        let item = Item {
            priority: queued.priority,
            ahead_of_want: queued.ahead_of_want,
            need_in: queued.need_in,
            duration: queued.duration,
            expected_bytes: queued.expected_bytes,
            missing_for: self.now.since(since.max(self.company_since)),
            slot: if announced {
                0
            } else {
                self.election_slot(queued.key, swarm_in_sight) + u32::from(is_new) * PARTS_OF_SLOT
            },
            swarm_in_sight,
            http_blocked,
            announced,
            peer_span: best.map(|(_, span)| span),
        };
        match self.view(company).choose(&item) {
            Choice::Peer => {
                if let Some((link, _)) = best
                    && self.downloads.p2p_count() < self.config.loader.simultaneous_p2p_downloads
                {
                    self.start_transfer(queued.key, link);
                    self.plan_again_in(LOOK_AFTER);
                } else if queued.ahead_of_want == 0 {
                    self.plan_again_in(LOOK_AFTER);
                }
            }
            Choice::Http(_) if http_blocked && queued.ahead_of_want == 0 => self.fail_blocked(queued.key),
            Choice::Http(reason) => self.choose_http(queued, reason),
            Choice::Wait(wait) => self.plan_again_in(wait.min(LOOK_AGAIN)),
            Choice::Idle => {}
        }
    }

    /// HTTP failed, no peer can help: the player is told, and its retry policy decides.
    fn fail_blocked(&mut self, key: SegmentKey) {
        let Some((_, error)) = self.failed.get(&key).cloned() else {
            // Offline: the shell's fetch would fail at once, and the player would count it as a try.
            return self.plan_again_in(Span::from_millis(500));
        };
        self.abandon(key);
        self.fail_wants(key, RequestFailure::Http(error));
    }

    fn choose_http(&mut self, queued: &Queued, reason: HttpReason) {
        let urgent = queued.ahead_of_want == 0
            && (reason != HttpReason::Elected
                || queued.priority <= self.config.loader.required_segments_priority);
        let limit = self.config.loader.simultaneous_http_downloads;
        if self.downloads.http_count() < limit || urgent && self.make_room_for_http(queued) {
            self.start_http(queued.key);
        } else {
            self.plan_again_in(Span::from_millis(500));
        }
    }

    /// Makes sure that one more HTTP download may start: when the slots are full, the last one behind the needed
    /// segment is aborted. Returns whether there is room.
    fn make_room_for_http(&mut self, queued: &Queued) -> bool {
        if self.downloads.http_count() < self.config.loader.simultaneous_http_downloads {
            return true;
        }
        let start = self.timeline.segment(queued.key).map(|segment| segment.start_ms);
        let victim = self
            .downloads
            .iter()
            .filter(|download| download.http.is_some() && !self.downloads.is_wanted(download.key))
            .filter_map(|download| Some((self.timeline.segment(download.key)?.start_ms, download.key)))
            .filter(|(victim_start, _)| start.is_some_and(|start| *victim_start > start))
            .max();
        let Some((_, victim)) = victim else { return false };
        self.abandon(victim);
        true
    }

    /// The random HTTP downloads of the settings, where no election replaces them.
    fn draw(&mut self, queue: &[Queued], company: Company) {
        if self.config.loader.coordination != Coordination::Random || queue.is_empty() {
            return;
        }
        if self.now < self.next_draw {
            return self.plan_again_at(self.next_draw);
        }
        self.next_draw = self.now + self.draw_interval();
        self.plan_again_at(self.next_draw);
        if !self.initial_mode_over
            || self.downloads.http_count() >= self.config.loader.simultaneous_http_downloads
        {
            return;
        }
        let candidates: Vec<&Queued> = queue
            .iter()
            .filter(|queued| queued.priority <= self.config.loader.http_download_max_priority)
            .filter(|queued| {
                self.downloads.get(queued.key).is_none() && !self.failed.contains_key(&queued.key)
            })
            .filter(|queued| queued.holders == 0)
            .collect();
        let peers = if company == Company::Connected { self.swarm.ready_count() } else { 0 };
        let (roll, pick) = (self.rng.unit(), self.rng.unit());
        let drawn = policy::random_draw(&self.config.loader, peers, candidates.len(), roll, pick);
        if let Some(queued) = drawn.and_then(|index| candidates.get(index)) {
            self.start_http(queued.key);
        }
    }
}

/// Whether so much of a download has arrived that finishing it is cheaper than having fetched it for nothing.
fn nearly_done(download: &Download) -> bool {
    let received = download.received.len();
    download.total.bytes().is_some_and(|total| received.saturating_mul(4) >= total.saturating_mul(3))
}
