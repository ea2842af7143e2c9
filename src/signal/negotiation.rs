//! What peers say through a tracker: offers, answers, candidates; and which of two links to one peer stays.
//!
//! Both sides keep the same link. When each has answered an offer of the other, the offer of the peer with the higher
//! id counts, and both sides learn of it in the same moment of the exchange: on getting the answer.

use crate::engine::{CloseReason, Event, LinkCloseCause, Output};
use crate::id::{LinkId, PeerId};
use crate::time::Time;

use super::links::{Link, Route, Stage};
use super::message::{Answer, Candidates};
use super::offers::bounded;
use super::{Admits, Cx, Signal, relayed};

/// Trackers relay candidates for this long after the answer.
const TRICKLE_LIFE: crate::time::Span = crate::time::Span::from_secs(60);
/// Failed negotiations in a row from which on this viewer probably cannot connect to anybody.
const FUTILE_FROM: u32 = 6;
/// The first pause in offers then. It doubles with each further failure.
const FUTILE_PAUSE: crate::time::Span = crate::time::Span::from_secs(30);
/// Remote offers that are tried at a time then.
const FUTILE_PENDING: usize = 1;

impl Signal {
    /// A peer offers a link.
    pub(super) fn on_offer(
        &mut self,
        cx: &mut Cx<'_>,
        route: Route,
        peer: PeerId,
        sdp: String,
        admits: Admits<'_>,
    ) {
        let linked = self.links.peers() + usize::from(self.links.of_peer(peer).is_none());
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == route.tracker)
            && session.size().is_some_and(|size| (size as usize) <= linked)
            && peer != self.own
        {
            session.outgrown(cx.now);
        }
        let pending = self.links.count(Link::is_pending);
        let most = if self.futile >= FUTILE_FROM { FUTILE_PENDING } else { self.settings.max_pending };
        let welcome = peer != self.own
            && self.peers.allows(cx.now, peer)
            && self.is_large_enough()
            && pending < most
            && match self.links.of_peer(peer) {
                None => pending == 0 || self.links.peers() < self.settings.max_links,
                Some((_, link)) => matches!(link.stage, Stage::Up { .. }),
            }
            && admits(peer);
        // Refusal is silence: the protocol has no word for it, and the other side's offer simply expires.
        if !welcome || !self.offer_rate.take(cx.now) {
            return;
        }
        let link = self.links.insert(cx.now, Stage::Answering { route, peer });
        cx.out.push_back(Output::AcceptOffer { link, sdp });
    }

    /// The shell made an answer.
    pub(super) fn answer_made(&mut self, cx: &mut Cx<'_>, link: LinkId, sdp: String) {
        let Some(Stage::Answering { route, peer }) = self.links.get(link).map(|l| l.stage.clone()) else {
            return;
        };
        let sdp = bounded(sdp);
        if let Err(fault) = self.check_own_sdp(&sdp) {
            self.close_link(cx, link);
            self.negotiation_failed(cx, peer, format!("the browser's answer is not usable: {fault}"));
            return;
        }
        let answer =
            Answer { swarm: self.swarm, peer: self.own, to_peer: peer, offer_id: &route.offer_id, sdp: &sdp };
        cx.out.push_back(Output::SendTracker { tracker: route.tracker, text: answer.encode() });
        // The time limit of a link counts from the offer, not from our answer.
        let began = self.links.get(link).map_or(cx.now, |l| l.since);
        self.links.advance(began, link, Stage::Connecting { route, peer, ours: false });
        self.release_candidates(cx.now, link);
    }

    /// A peer answers an offer of ours.
    pub(super) fn on_answer(
        &mut self,
        cx: &mut Cx<'_>,
        route: Route,
        peer: PeerId,
        sdp: String,
        admits: Admits<'_>,
    ) {
        let found = self.links.by_route(route.tracker, route.session, &route.offer_id);
        let ours = found.into_iter().find_map(|link| match self.links.get(link)?.stage {
            Stage::Offered { batch, .. } => Some((link, batch)),
            _ => None,
        });
        let Some((link, batch)) = ours else { return };
        if peer == self.own {
            return;
        }
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == route.tracker) {
            session.round.answered = true;
        }
        let other = self.links.of_peer(peer).map(|(id, other)| (id, other.stage.clone()));
        let keep = match &other {
            _ if !self.peers.allows(cx.now, peer) => false,
            None | Some((_, Stage::Up { .. })) => admits(peer),
            // Glare: we answered an offer of theirs, they answered one of ours.
            Some((_, Stage::Answering { .. } | Stage::Connecting { ours: false, .. })) => self.own > peer,
            Some(_) => false,
        };
        if keep {
            // An open link, even a dead one, is the swarm's to close.
            if let Some((other, _)) = other.filter(|(_, stage)| !matches!(stage, Stage::Up { .. })) {
                self.close_link(cx, other);
            }
            self.links.advance(cx.now, link, Stage::Connecting { route, peer, ours: true });
            cx.out.push_back(Output::AcceptAnswer { link, sdp });
            self.release_candidates(cx.now, link);
        } else {
            self.close_link(cx, link);
        }
        self.batch_answered(cx.now, batch);
    }

    /// The other end of a link found further candidates.
    pub(super) fn on_candidates(
        &mut self,
        cx: &mut Cx<'_>,
        route: &Route,
        peer: PeerId,
        candidates: Vec<String>,
    ) {
        let found = self.links.by_route(route.tracker, route.session, &route.offer_id);
        let link =
            found.into_iter().find(|&link| self.links.get(link).is_some_and(|l| l.peer() == Some(peer)));
        let Some((link, trickle)) = link.and_then(|link| Some((link, self.links.trickle(link)?))) else {
            return;
        };
        let candidates = trickle.admit(candidates);
        if !candidates.is_empty() {
            cx.out.push_back(Output::AddCandidates { link, candidates });
        }
    }

    /// The shell found further candidates for a link.
    pub(super) fn hold_candidates(&mut self, now: Time, link: LinkId, mut candidates: Vec<String>) {
        if self.settings.relay_only {
            candidates.retain(|candidate| relayed::is_candidate(candidate));
        }
        if let Some(trickle) = self.links.trickle(link) {
            trickle.hold(candidates);
            self.release_candidates(now, link);
        }
    }

    /// Lets held candidates go if the other end is known.
    fn release_candidates(&mut self, now: Time, link: LinkId) {
        if matches!(self.links.get(link).map(|l| &l.stage), Some(Stage::Connecting { .. }))
            && let Some(trickle) = self.links.trickle(link)
        {
            trickle.schedule(now);
        }
    }

    /// Sends the candidates whose moment has come.
    pub(super) fn flush_candidates(&mut self, cx: &mut Cx<'_>) {
        for link in self.links.ids(|link| link.trickle.flush_at.is_some_and(|at| at <= cx.now)) {
            let Some(candidates) = self.links.trickle(link).map(|trickle| trickle.take()) else { continue };
            let Some(Stage::Connecting { route, peer, .. }) = self.links.get(link).map(|l| &l.stage) else {
                continue;
            };
            let relayed = self.is_current(route)
                && self.sessions.iter().any(|session| session.id == route.tracker && session.trickle);
            let Some(since) = self.links.get(link).map(|l| l.since) else { continue };
            if !relayed || !is_own_kind(*peer) || cx.now.since(since) >= TRICKLE_LIFE {
                continue;
            }
            let message = Candidates {
                swarm: self.swarm,
                peer: self.own,
                to_peer: *peer,
                offer_id: &route.offer_id,
                candidates: &candidates,
            };
            cx.out.push_back(Output::SendTracker { tracker: route.tracker, text: message.encode() });
        }
    }

    /// Gives up negotiations that take too long.
    pub(super) fn expire_negotiations(&mut self, cx: &mut Cx<'_>) {
        let limit = self.settings.connect_timeout;
        for link in self.links.ids(|link| link.is_pending() && link.since + limit <= cx.now) {
            let Some(peer) = self.links.get(link).and_then(Link::peer) else { continue };
            self.close_link(cx, link);
            self.negotiation_failed(cx, peer, format!("not connected within {} ms", limit.as_millis()));
        }
    }

    /// When a negotiation next needs attention.
    pub(super) fn negotiations_wake(&self) -> Option<Time> {
        let limit = self.settings.connect_timeout;
        self.links
            .iter()
            .filter_map(|(_, link)| {
                let end = link.is_pending().then(|| link.since + limit);
                end.into_iter().chain(link.trickle.flush_at).min()
            })
            .min()
    }

    /// A link broke, or could not be made.
    pub(super) fn link_broke(&mut self, cx: &mut Cx<'_>, link: LinkId, cause: LinkCloseCause) {
        let Some(gone) = self.links.remove(link) else { return };
        let why = match cause {
            LinkCloseCause::Remote => "closed by the other side".to_owned(),
            LinkCloseCause::Failed(why) | LinkCloseCause::BadDescription(why) => why,
        };
        match gone.stage {
            Stage::Creating => self.offer_failed(cx, why),
            Stage::Ready { .. } | Stage::Offered { .. } | Stage::Up { .. } => {}
            Stage::Answering { peer, .. } | Stage::Connecting { peer, .. } => {
                self.negotiation_failed(cx, peer, why);
            }
        }
    }

    /// No link to the peer came about: leave it alone for a while, and tell the page.
    fn negotiation_failed(&mut self, cx: &mut Cx<'_>, peer: PeerId, why: String) {
        self.peers.failed(cx.now, peer);
        self.futile = self.futile.saturating_add(1);
        if self.futile >= FUTILE_FROM {
            let doublings = (self.futile - FUTILE_FROM).min(4);
            self.futile_until = cx.now + FUTILE_PAUSE * (1 << doublings);
        }
        let reason = CloseReason::ConnectionLost(why);
        cx.out.push_back(Output::Event(Event::PeerClosed { peer, reason }));
    }

    /// Closes a link that is not open yet.
    pub(super) fn close_link(&mut self, cx: &mut Cx<'_>, link: LinkId) {
        if self.links.remove(link).is_some() {
            cx.out.push_back(Output::CloseLink { link });
        }
    }

    /// Whether the tracker session of a negotiation still lasts.
    fn is_current(&self, route: &Route) -> bool {
        self.sessions.iter().any(|session| {
            session.id == route.tracker && session.number == route.session && session.opened().is_some()
        })
    }
}

/// Whether the peer is one of ours, by its client prefix: only those know trickled candidates.
fn is_own_kind(peer: PeerId) -> bool {
    peer.0.starts_with(b"-HS")
}
