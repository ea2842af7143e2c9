//! Our own offers: how many to make, which tracker gets them, when to announce, and when an offer is over.
//!
//! All trackers draw on one pool. An offer goes to one tracker only, in one announce, so that no two peers can answer
//! it. One that provably reached nobody goes back to the pool.

use crate::random::ChaCha8Rng;

use crate::engine::{Event, Output};
use crate::id::LinkId;
use crate::time::{Span, Time};

use super::links::{Route, Stage};
use super::message::{
    Announce, AnnounceEvent, MAX_MESSAGE_BYTES, MAX_OFFERS, MAX_SDP_CANDIDATES, Offer, check_sdp,
};
use super::session::{PROBE_EVERY, Phase, Round, Want};
use super::{Cx, Signal, relayed};

/// Offers of the first announce, before the size of the swarm is known. Each costs a connection.
const FIRST_OFFERS: usize = 5;
/// Offers that each further tracker gets in its first announce even if the first tracker's would do.
const FIRST_SHARE: usize = 2;
/// Ready offers wait at most this long for those still being made.
const SPLIT_WAIT: Span = Span::from_millis(400);
/// A session that got no offers for this long goes without.
const WANT_LIFE: Span = Span::from_secs(10);
/// An offer that the shell has not made by then failed.
const CREATE_TIMEOUT: Span = Span::from_secs(10);
/// An offer that no tracker has got is closed at this age: its candidates get stale.
const READY_LIFE: Span = Span::from_secs(60);
/// An offer that nobody answered for this long is closed. Trackers forget it at 60 s.
const OFFER_LIFE: Span = Span::from_secs(55);
/// Answers come within seconds. From then on an offer no longer stands for a link to come.
const OFFER_FRESH: Span = Span::from_secs(20);
/// Session descriptions of one announce, in bytes of JSON. What is left of a message is for everything else.
const ANNOUNCE_SDP_BYTES: usize = MAX_MESSAGE_BYTES - 8 * 1024;
/// The first pause after an offer could not be made. It doubles with each failure in a row.
const CREATE_PAUSE: Span = Span::from_secs(5);

/// An announce whose offers are still out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    /// Peers that can have got one, once the tracker has replied.
    receivers: Option<usize>,
    /// Offers of it that were answered.
    answered: usize,
}

impl Signal {
    /// Links that are wanted and that neither a negotiation nor a fresh offer stands for.
    fn open_demand(&self, now: Time) -> usize {
        let pending = self.links.count(|link| link.is_pending());
        let room = self.settings.max_links.saturating_sub(self.links.peers());
        let demand = self.demand.saturating_sub(pending).min(room);
        demand.saturating_sub(self.links.count(|link| match link.stage {
            Stage::Offered { .. } => now < link.since + OFFER_FRESH,
            _ => false,
        }))
    }

    fn may_offer_at(&self) -> Time {
        self.no_offers_before.max(self.futile_until)
    }

    /// Whether the swarm has the size that the page asks for.
    pub(super) fn is_large_enough(&self) -> bool {
        self.settings.min_swarm <= 1 || self.swarm_size().is_some_and(|size| size >= self.settings.min_swarm)
    }

    fn wanted(&self) -> usize {
        self.sessions.iter().map(|session| session.want.offers).sum()
    }

    /// Offers that are made or being made and that no tracker has.
    fn stock(&self) -> usize {
        self.links.count(|link| matches!(link.stage, Stage::Creating | Stage::Ready { .. }))
    }

    /// Offers that may be made: old ones pile up when nobody answers.
    fn room_for_offers(&self) -> usize {
        let most = (2 * self.settings.offers_per_announce).max(FIRST_SHARE);
        most.saturating_sub(self.links.count(|link| link.is_unanswered()))
    }

    /// Grants a session that is being opened, or that just opened, its first offers. The first tracker gets what the
    /// demand allows; what it does not take (it may be dead) stays in the pool for the others.
    pub(super) fn grant_first(&mut self, now: Time, index: usize) {
        if now < self.may_offer_at() || !self.is_large_enough() {
            return;
        }
        let most = self.settings.offers_per_announce.min(self.demand);
        let demand = self.open_demand(now).min(FIRST_OFFERS);
        let Some(session) = self.sessions.get(index) else { return };
        let first = if session.opened().is_some() {
            !self.sessions.iter().any(|other| other.opened().is_some_and(|open| open.started))
        } else {
            self.wanted() == 0
        };
        let share = if first { demand } else { FIRST_SHARE };
        if let Some(session) = self.sessions.get_mut(index) {
            let offers = share.max(session.want.offers).max(FIRST_SHARE).min(most);
            session.want = Want { offers, split_at: now + SPLIT_WAIT, until: now + WANT_LIFE };
        }
    }

    /// Grants announced sessions further offers when links are short.
    pub(super) fn grant_more(&mut self, now: Time) {
        for index in 0..self.sessions.len() {
            let Some(offers) = self.spare_offers(now, index) else { continue };
            let Some(session) = self.sessions.get_mut(index) else { continue };
            if offers == 0 || session.early_after > now {
                continue;
            }
            // Offers that left a moment ago say nothing yet.
            if session.round.offered.is_some_and(|at| at + OFFER_FRESH <= now) {
                session.fruitless =
                    if session.round.answered { 0 } else { session.fruitless.saturating_add(1) };
                session.round = Round::default();
            }
            session.want = Want { offers, split_at: now + SPLIT_WAIT, until: now + WANT_LIFE };
            session.early_after = now + session.early_gap();
            session.probe_after = now + PROBE_EVERY;
        }
    }

    /// How many offers a session could use now beside what it has; `None` while it must not get any.
    fn spare_offers(&self, now: Time, index: usize) -> Option<usize> {
        let session = self.sessions.get(index)?;
        let open = session.opened()?;
        let may_offer = self.is_large_enough() && now >= self.may_offer_at();
        if !open.answered || session.want.offers > 0 || now < open.hold_until || !may_offer {
            return None;
        }
        let others = session.others()?;
        let here = self.links.count(|link| {
            now < link.since + OFFER_FRESH
                && matches!(&link.stage, Stage::Offered { route, .. } if route.tracker == session.id)
        });
        let known = self.links.peers() + self.peers.cooling(now) + here;
        let strangers = match others.saturating_sub(known) {
            0 => usize::from(others > 0 && session.probe_after <= now),
            // The tracker chooses the receivers: some offers go to peers that we know.
            strangers => (2 * strangers + 1).min(others),
        };
        let unclaimed = (self.stock() + self.room_for_offers()).saturating_sub(self.wanted());
        let demand = self.open_demand(now).saturating_sub(self.wanted());
        let most = self.settings.offers_per_announce.min(demand).min(unclaimed);
        Some(strangers.min(most))
    }

    /// Asks the shell for the offers that sessions want and the pool lacks.
    pub(super) fn create(&mut self, cx: &mut Cx<'_>) {
        if !self.online || cx.now < self.may_offer_at() {
            return;
        }
        let room = self.room_for_offers();
        // After a failure one is tried alone.
        let room = if self.create_failures > 0 { room.min(1) } else { room };
        for _ in 0..self.wanted().saturating_sub(self.stock()).min(room) {
            let link = self.links.insert(cx.now, Stage::Creating);
            cx.out.push_back(Output::CreateOffer { link });
        }
    }

    /// Sends the announces that are due and those that have offers to carry.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        for index in 0..self.sessions.len() {
            let mut ready = self.links.ids(|link| matches!(link.stage, Stage::Ready { .. }));
            let creating = self.links.count(|link| link.stage == Stage::Creating);
            let Some(session) = self.sessions.get(index) else { return };
            let Some(open) = session.opened() else { continue };
            if cx.now < open.hold_until {
                continue;
            }
            let want = session.want;
            ready.truncate(want.offers);
            let complete = ready.len() == want.offers || creating == 0 || want.split_at <= cx.now;
            let go = if !open.started {
                !ready.is_empty() || want.offers == 0 || open.due <= cx.now
            } else if open.due <= cx.now {
                complete
            } else {
                complete && !ready.is_empty()
            };
            if go {
                if open.started && open.due <= cx.now {
                    // The tracker's minimum interval counts from this announce.
                    let early_after = session.early_after.max(cx.now + session.early_gap());
                    if let Some(session) = self.sessions.get_mut(index) {
                        session.early_after = early_after;
                    }
                }
                self.send_announces(cx, index, ready);
            }
        }
    }

    /// Sends one announce with all the offers, or several if one cannot carry them.
    fn send_announces(&mut self, cx: &mut Cx<'_>, index: usize, mut ready: Vec<LinkId>) {
        loop {
            let rest = self.fitting(&ready);
            let later = ready.split_off(rest);
            self.send_announce(cx, index, &ready);
            if later.is_empty() {
                return;
            }
            ready = later;
        }
    }

    /// How many of the offers one announce can carry.
    fn fitting(&self, ready: &[LinkId]) -> usize {
        let mut bytes = 0;
        let sizes = ready.iter().take(MAX_OFFERS).map(|&link| match self.links.get(link).map(|l| &l.stage) {
            Some(Stage::Ready { sdp }) => json_bytes(sdp),
            _ => 0,
        });
        let fit = sizes
            .take_while(|size| {
                bytes += size;
                bytes <= ANNOUNCE_SDP_BYTES
            })
            .count();
        // A single offer always fits: it was checked when it came.
        fit.max(1).min(ready.len())
    }

    fn send_announce(&mut self, cx: &mut Cx<'_>, index: usize, links: &[LinkId]) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let (tracker, number) = (session.id, session.number);
        let started = session.opened().is_some_and(|open| open.started);
        let batch = self.next_batch;
        self.next_batch = self.next_batch.wrapping_add(1);
        session.announced(cx, batch);
        session.want.offers = session.want.offers.saturating_sub(links.len());

        let mut described = Vec::with_capacity(links.len());
        for &link in links {
            let Some(Stage::Ready { sdp }) = self.links.get(link).map(|l| &l.stage) else { continue };
            let (sdp, offer_id) = (sdp.clone(), new_offer_id(cx.rng));
            let route = Route { tracker, session: number, offer_id: offer_id.clone() };
            self.links.advance(cx.now, link, Stage::Offered { sdp: sdp.clone(), route, batch });
            described.push((offer_id, sdp));
        }
        if !described.is_empty() {
            self.batches.insert(batch, Batch::default());
            session.round.offered.get_or_insert(cx.now);
        }
        let offers: Vec<_> = described.iter().map(|(offer_id, sdp)| Offer { offer_id, sdp }).collect();
        let event = match (started, self.complete) {
            (false, _) => Some(AnnounceEvent::Started),
            (true, Some(true)) if session.tell_complete => Some(AnnounceEvent::Completed),
            _ => None,
        };
        session.tell_complete &= event != Some(AnnounceEvent::Completed);
        let announce = Announce {
            swarm: self.swarm,
            peer: self.own,
            event,
            numwant: u32::try_from(offers.len()).unwrap_or(u32::MAX),
            uploaded: 0,
            downloaded: 0,
            left: self.left(),
            trickle: true,
            token: &self.token,
            offers: &offers,
        };
        cx.out.push_back(Output::SendTracker { tracker, text: announce.encode() });
    }

    /// The tracker replied to an announce: at most `receivers` peers got an offer of it.
    pub(super) fn batch_delivered(&mut self, now: Time, batch: u32, receivers: usize) {
        if let Some(entry) = self.batches.get_mut(&batch) {
            entry.receivers = Some(receivers);
            self.reclaim(now, batch);
        }
    }

    /// An offer of the announce was answered.
    pub(super) fn batch_answered(&mut self, now: Time, batch: u32) {
        if let Some(entry) = self.batches.get_mut(&batch) {
            entry.answered += 1;
            self.reclaim(now, batch);
        }
    }

    /// Takes offers back that reached nobody: all who can have got one have answered.
    fn reclaim(&mut self, now: Time, batch: u32) {
        let Some(entry) = self.batches.get(&batch) else { return };
        if entry.receivers.is_none_or(|receivers| entry.answered < receivers) {
            return;
        }
        self.batches.remove(&batch);
        for link in self.links.ids(|link| matches!(link.stage, Stage::Offered { batch: b, .. } if b == batch))
        {
            if let Some(Stage::Offered { sdp, .. }) = self.links.get(link).map(|l| l.stage.clone()) {
                self.links.advance(now, link, Stage::Ready { sdp });
            }
        }
    }

    /// Forgets announces of which no offer is out.
    pub(super) fn prune_batches(&mut self) {
        let links = &self.links;
        self.batches.retain(|&batch, _| {
            links.iter().any(|(_, link)| matches!(link.stage, Stage::Offered { batch: b, .. } if b == batch))
        });
    }

    /// The shell made an offer.
    pub(super) fn offer_made(&mut self, cx: &mut Cx<'_>, link: LinkId, sdp: String) {
        if self.links.get(link).is_none_or(|l| l.stage != Stage::Creating) {
            return;
        }
        let sdp = bounded(sdp);
        match self.check_own_sdp(&sdp) {
            Ok(()) => {
                self.create_failures = 0;
                self.links.advance(cx.now, link, Stage::Ready { sdp });
            }
            Err(fault) => {
                self.close_link(cx, link);
                self.offer_failed(cx, format!("the browser's offer is not usable: {fault}"));
            }
        }
    }

    /// Whether a description of ours may leave.
    pub(super) fn check_own_sdp(&self, sdp: &str) -> Result<(), String> {
        check_sdp(sdp).map_err(|fault| fault.to_string())?;
        if self.settings.relay_only && !relayed::is_description(sdp) {
            return Err("it tells an address that is no relay's, against loader.relayOnly".to_owned());
        }
        Ok(())
    }

    /// The shell could not make an offer: pause, so that a browser without WebRTC is not asked again and again.
    pub(super) fn offer_failed(&mut self, cx: &mut Cx<'_>, why: String) {
        if cx.now < self.no_offers_before {
            return;
        }
        if self.create_failures == 0 {
            let message = format!("no WebRTC offer could be made: {why}");
            cx.out.push_back(Output::Event(Event::Error { message, fatal: false }));
        }
        self.no_offers_before = cx.now + CREATE_PAUSE * (1 << self.create_failures.min(6));
        self.create_failures = self.create_failures.saturating_add(1);
        for session in &mut self.sessions {
            session.want = Want::default();
        }
    }

    /// Closes offers that are over and drops wishes that were not met.
    pub(super) fn expire_offers(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        for link in self.links.ids(|link| link.is_unanswered()) {
            let Some(entry) = self.links.get(link) else { continue };
            if self.offer_end(entry) > now {
                continue;
            }
            let late = entry.stage == Stage::Creating;
            self.close_link(cx, link);
            if late {
                self.offer_failed(cx, "the browser did not answer within 10 s".to_owned());
            }
        }
        for session in &mut self.sessions {
            if session.want.offers > 0 && session.want.until <= now {
                session.want = Want::default();
            }
        }
    }

    fn offer_end(&self, link: &super::links::Link) -> Time {
        match link.stage {
            Stage::Creating => link.since + CREATE_TIMEOUT,
            Stage::Ready { .. } => link.created + READY_LIFE,
            _ => link.since + OFFER_LIFE,
        }
    }

    /// When offers next need attention.
    pub(super) fn offers_wake(&self, now: Time) -> Option<Time> {
        let mut wake: Option<Time> = None;
        let mut at = |time: Time| wake = Some(wake.map_or(time, |old| old.min(time)));
        let mut next_stale = None;
        for (_, link) in self.links.iter().filter(|(_, link)| link.is_unanswered()) {
            at(self.offer_end(link));
            if matches!(link.stage, Stage::Offered { .. }) {
                let stale = link.since + OFFER_FRESH;
                if stale > now && next_stale.is_none_or(|old| stale < old) {
                    next_stale = Some(stale);
                }
            }
        }
        let ready = self.links.count(|link| matches!(link.stage, Stage::Ready { .. }));
        for (index, session) in self.sessions.iter().enumerate() {
            let Phase::Open(open) = &session.phase else { continue };
            if session.want.offers > 0 {
                at(session.want.until);
                if ready > 0 || open.due <= now {
                    at(session.want.split_at.max(open.hold_until));
                }
                continue;
            }
            let allowed = session.early_after.max(open.hold_until).max(self.may_offer_at());
            if session.probe_after > now {
                at(session.probe_after);
            }
            if allowed > now {
                at(allowed);
            } else if self.spare_offers(now, index) == Some(0)
                && let Some(stale) = next_stale
            {
                at(stale);
            }
        }
        wake
    }
}

/// At most so many bytes does a text take in JSON: an escape has six.
fn json_bytes(text: &str) -> usize {
    text.len() + 5 * text.bytes().filter(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')).count()
}

/// Twenty random letters and digits.
fn new_offer_id(rng: &mut ChaCha8Rng) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..20)
        .filter_map(|_| ALPHABET.get(rng.below(ALPHABET.len() as u64) as usize))
        .map(|&byte| char::from(byte))
        .collect()
}

/// Leaves out candidates beyond what trackers and peers take: a computer with many network interfaces finds dozens.
/// The first ones are kept (interfaces in the system's order of preference) and the last ones (servers' answers come
/// last).
pub(super) fn bounded(sdp: String) -> String {
    let is_candidate = |line: &&str| line.starts_with("a=candidate:");
    let total = sdp.split_inclusive('\n').filter(is_candidate).count();
    if total <= MAX_SDP_CANDIDATES {
        return sdp;
    }
    let half = MAX_SDP_CANDIDATES / 2;
    let mut place = 0;
    sdp.split_inclusive('\n')
        .filter(|line| {
            if !is_candidate(line) {
                return true;
            }
            place += 1;
            place <= half || place > total - half
        })
        .collect()
}
