//! Open stock links and their gateways.

use crate::id::{LinkId, SegmentKey, TrackId};
use crate::interop::{Effect, Gateway, Ids, Setup};
use crate::swarm::{DataArrival, SwarmOut};
use crate::time::Time;
use crate::wire::HaveState;

use super::super::io::Output;
use super::super::store::Store;
use super::Engine;

impl Engine {
    /// The channel of a stock link is open.
    pub(super) fn stock_link_up(&mut self, link: LinkId, max_message_bytes: u32) {
        let now = self.now;
        let Some((peer, initiator)) = self.stock_link_opened(link) else {
            self.outbox.push_back(Output::CloseLink { link });
            return;
        };
        let setup = Setup {
            peer,
            swarm: self.swarm_id,
            max_message_bytes: max_message_bytes.min(self.config.loader.web_rtc_max_message_size),
            shares: !self.config.loader.consume_only,
        };
        let (gateway, effects) = Gateway::new(now, setup);
        self.interop.gateways.insert(link, gateway);
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.link_up(now, &mut self.rng, link, Some(peer), initiator, max_message_bytes, &mut out);
        self.apply(link, effects);
    }

    /// A stock link's gateway with what its calls need. Stock peers are given whole segments only.
    fn stock_parts(&mut self, link: LinkId) -> Option<(&mut Gateway, Ids<'_>, Store<'_>)> {
        let store = Store {
            cache: &self.cache,
            downloads: &self.downloads,
            kept: &self.kept,
            timeline: &self.timeline,
            cut_through: false,
            signed_only: self.guard.is_signed(),
            guard: &self.guard,
        };
        let ids = self.interop.ids(&self.timeline, link)?;
        Some((self.interop.gateways.get_mut(&link)?, ids, store))
    }

    /// Whether a message of a stock link is a command; anything else is bytes of a segment, for
    /// [`place_frame`](Engine::place_frame).
    pub fn is_stock_command(&self, link: LinkId, message: &[u8]) -> bool {
        self.interop.gateways.get(&link).is_none_or(|gateway| gateway.is_command(message))
    }

    pub(super) fn stock_message(&mut self, link: LinkId, message: &[u8]) {
        let now = self.now;
        let Some((gateway, ids, store)) = self.stock_parts(link) else { return };
        let effects = gateway.incoming(now, message, &ids, &store);
        self.apply(link, effects);
    }

    pub(super) fn stock_drained(&mut self, link: LinkId) {
        let effects = self.interop.gateways.get_mut(&link).map(Gateway::drained);
        self.apply(link, effects.unwrap_or_default());
    }

    /// Where bytes of a segment from a stock peer belong.
    pub(in crate::engine) fn stock_body(&mut self, link: LinkId, len: u32) -> DataArrival {
        let Some(gateway) = self.interop.gateways.get_mut(&link) else { return DataArrival::Ignored };
        let head = gateway.body(len);
        let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
        self.swarm.stock_data(self.now, link, head, len, &mut out)
    }

    /// Our side says something to a stock peer.
    pub(super) fn stock_frame_out(&mut self, link: LinkId, frame: &[u8]) {
        let now = self.now;
        let Some(ids) = self.interop.ids(&self.timeline, link) else { return };
        let Some(gateway) = self.interop.gateways.get_mut(&link) else { return };
        let effects = gateway.outgoing(now, frame, &ids);
        self.apply_at_once(link, effects);
        self.take_notices();
    }

    /// Our side sends bytes to a stock peer. Tells whether they go out.
    pub(super) fn stock_body_out(&mut self, link: LinkId, head: &[u8], len: u32) -> bool {
        let Some(gateway) = self.interop.gateways.get_mut(&link) else { return false };
        let (goes, effects) = gateway.outgoing_body(head, len);
        self.apply_at_once(link, effects);
        goes
    }

    /// The links for which something is due by now.
    fn stock_links_due(&self, due: impl Fn(&Gateway) -> Option<Time>) -> Vec<LinkId> {
        let gateways = self.interop.gateways.iter();
        let is_due = |gateway: &Gateway| due(gateway).is_some_and(|at| at <= self.now);
        gateways.filter(|(_, gateway)| is_due(gateway)).map(|(link, _)| *link).collect()
    }

    /// Tells stock peers what we have, where that changed.
    pub(super) fn tell_stock_peers(&mut self) {
        for link in self.stock_links_due(Gateway::announce_due) {
            let Some(ids) = self.interop.ids(&self.timeline, link) else { continue };
            let id = |key: SegmentKey| ids.id(key);
            let verified = |key: &SegmentKey| self.kept.get(key).is_some_and(|kept| kept.provenance.verified);
            let cached = self.cache.of_track(ids.track).map(|(key, _)| key).filter(verified);
            let loaded = cached.filter_map(id).collect();
            let loading = self.downloads.iter().filter(|download| download.http.is_some());
            let loading = loading.filter_map(|download| id(download.key)).collect();
            // What would not be served is not announced: a stock peer has no word for "no more", and asks again at once.
            let (loaded, loading) = if self.swarm.shares() { (loaded, loading) } else { Default::default() };
            let Some(gateway) = self.interop.gateways.get_mut(&link) else { continue };
            let effects = gateway.announce(self.now, loaded, loading);
            self.apply(link, effects);
        }
    }

    /// Shows our side what stock peers announced while it was not due.
    pub(super) fn show_stock_news(&mut self) {
        self.show_stock_peers(self.stock_links_due(Gateway::show_due), |_| true);
    }

    /// The playlist of a track changed: what its stock peers have may have become known.
    pub(super) fn show_stock_track(&mut self, track: TrackId) {
        let links = self.interop.gateways.keys().copied().collect();
        self.show_stock_peers(links, |of| of == track);
    }

    fn show_stock_peers(&mut self, links: Vec<LinkId>, concerns: impl Fn(TrackId) -> bool) {
        let now = self.now;
        for link in links {
            let ids = self.interop.ids(&self.timeline, link).filter(|ids| concerns(ids.track));
            let (Some(ids), Some(gateway)) = (ids, self.interop.gateways.get_mut(&link)) else { continue };
            let effects = gateway.show(now, &ids);
            self.apply(link, effects);
        }
        self.take_notices();
    }

    /// Passes on what stock peers asked for while it could not be served.
    pub(super) fn retry_stock_requests(&mut self) {
        let now = self.now;
        for link in self.stock_links_due(Gateway::retry_due) {
            let Some((gateway, ids, store)) = self.stock_parts(link) else { continue };
            let effects = gateway.retry(now, &ids, &store);
            self.apply(link, effects);
        }
        self.take_notices();
    }

    /// Whether a peer may be asked for a segment that it is said to have in this state: stock peers have whole segments
    /// only and serve one request at a time.
    pub(in crate::engine) fn stock_peer_free(
        &self,
        link: LinkId,
        state: HaveState,
        outstanding: usize,
    ) -> bool {
        !link.is_stock() || state == HaveState::Loaded && outstanding == 0
    }

    fn apply(&mut self, link: LinkId, effects: Vec<Effect>) {
        let now = self.now;
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.outbox.push_back(Output::SendControl { link, frame }),
                Effect::Frame(frame) => {
                    let (swarm, store, mut out) = self.swarm_parts();
                    swarm.control(now, link, &frame, &store, &mut out);
                }
                Effect::Violation(what) => {
                    let mut out = SwarmOut { outputs: &mut self.outbox, notices: &mut self.notices };
                    self.swarm.violated(now, link, what, &mut out);
                }
            }
        }
    }

    /// As [`Engine::apply`], but what is to be sent goes before everything that waits: it replaces an output that was
    /// just taken from the front.
    fn apply_at_once(&mut self, link: LinkId, effects: Vec<Effect>) {
        let (sent, others): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Send(_)));
        for effect in sent.into_iter().rev() {
            if let Effect::Send(frame) = effect {
                self.outbox.push_front(Output::SendControl { link, frame });
            }
        }
        self.apply(link, others);
    }
}
