//! What happens in every step: messages are told apart, sessions come and go, and what is due is done.

use std::collections::VecDeque;

use crate::random::ChaCha8Rng;

use crate::engine::Output;
use crate::id::TrackerId;
use crate::time::{Span, Time};

use super::links::{Route, Stage};
use super::message::TrackerMessage;
use super::session::Phase;
use super::{Admits, Cx, Signal};

/// A deadline that fires this late was slept over: clamped background timers are late by a minute at most.
const SLEPT: Span = Span::from_secs(90);

impl Signal {
    pub(super) fn index(&self, tracker: TrackerId) -> Option<usize> {
        self.sessions.iter().position(|session| session.id == tracker)
    }

    /// Starts a step; notices when the device slept.
    pub(super) fn begin<'a>(
        &mut self,
        now: Time,
        rng: &'a mut ChaCha8Rng,
        out: &'a mut VecDeque<Output>,
    ) -> Cx<'a> {
        let mut cx = Cx { now, rng, out };
        if self.running && self.deadline.is_some_and(|deadline| now.since(deadline) >= SLEPT) {
            self.shaken(&mut cx, self.online);
        }
        cx
    }

    /// The device slept or changed networks: nothing that was going on can be relied on.
    pub(super) fn shaken(&mut self, cx: &mut Cx<'_>, online: bool) {
        for link in self.links.ids(|link| !matches!(link.stage, Stage::Up { .. })) {
            self.close_link(cx, link);
        }
        self.futile = 0;
        self.futile_until = Time::ZERO;
        if online {
            self.sessions.iter_mut().for_each(|session| session.shaken(cx.now));
        }
    }

    pub(super) fn on_message(
        &mut self,
        cx: &mut Cx<'_>,
        index: usize,
        message: TrackerMessage,
        admits: Admits<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let route = |offer_id| Route { tracker: session.id, session: session.number, offer_id };
        let ours = self.swarm;
        match message {
            TrackerMessage::Announced(reply) if reply.swarm.is_none_or(|swarm| swarm == ours) => {
                let batch = session.replied(cx, &reply);
                let receivers = session.others();
                if let (Some(batch), Some(receivers)) = (batch, receivers) {
                    self.batch_delivered(cx.now, batch, receivers);
                }
            }
            TrackerMessage::Failure { swarm, reason } if swarm.is_none_or(|swarm| swarm == ours) => {
                if let Some(batch) = session.refused(cx, reason) {
                    self.batch_delivered(cx.now, batch, 0);
                }
            }
            TrackerMessage::Offer { swarm, peer, offer_id, sdp } if swarm == ours => {
                let route = route(offer_id);
                self.on_offer(cx, route, peer, sdp, admits);
            }
            TrackerMessage::Answer { swarm, peer, offer_id, sdp } if swarm == ours => {
                let route = route(offer_id);
                self.on_answer(cx, route, peer, sdp, admits);
            }
            TrackerMessage::Candidates { swarm, peer, offer_id, candidates } if swarm == ours => {
                let route = route(offer_id);
                self.on_candidates(cx, &route, peer, candidates);
            }
            // Another swarm's, or nothing that we asked for.
            _ => {}
        }
    }

    /// A session ended. Answers to offers sent there cannot come any more, and answers of ours cannot leave.
    pub(super) fn session_lost(&mut self, cx: &mut Cx<'_>, index: usize, why: String) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let tracker = session.id;
        session.fail(cx, why);
        let lost = self.links.ids(|link| match &link.stage {
            Stage::Offered { route, .. } | Stage::Answering { route, .. } => route.tracker == tracker,
            _ => false,
        });
        for link in lost {
            self.close_link(cx, link);
        }
    }

    /// Brings everything up to `now` and notes the next deadline. Every step that acts ends here.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        if !self.running {
            self.deadline = None;
            return;
        }
        for index in 0..self.sessions.len() {
            let Some(session) = self.sessions.get_mut(index) else { continue };
            session.age(cx.now);
            if let Some(why) = session.overdue(cx.now) {
                cx.out.push_back(Output::CloseTracker { tracker: session.id });
                self.session_lost(cx, index, why.to_owned());
            } else if matches!(session.phase, Phase::Waiting { until } if until <= cx.now && self.online) {
                session.open(cx);
            }
        }
        self.expire_offers(cx);
        self.expire_negotiations(cx);
        self.grant_more(cx.now);
        self.create(cx);
        self.announce(cx);
        self.flush_candidates(cx);
        self.prune_batches();

        let sessions =
            self.sessions.iter().filter_map(|session| session.next_wake(cx.now, self.online)).min();
        let wakes = [sessions, self.offers_wake(cx.now), self.negotiations_wake()];
        self.deadline = wakes.into_iter().flatten().min();
    }

    /// Something changed in a call that cannot act: the next tick looks at it.
    pub(super) fn look_again(&mut self, now: Time) {
        if self.running {
            self.deadline = Some(self.deadline.map_or(now, |deadline| deadline.min(now)));
        }
    }
}
