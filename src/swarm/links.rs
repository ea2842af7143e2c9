//! Links that come and go.

use crate::random::ChaCha8Rng;
use rand::Rng;

use crate::engine::{CloseReason, Event, LinkCloseCause, Output};
use crate::id::{LinkId, PeerId};
use crate::time::Time;
use crate::wire::{Capabilities, Frame, GoodbyeReason, MAX_VERSION, MIN_MESSAGE_BYTES, MIN_VERSION};

use super::Swarm;
use super::api::{Close, SwarmNotice, SwarmOut};
use super::peer::{Peer, Phase};

impl Swarm {
    /// The data channel of a link is open: says hello and waits for the other side's. A link for which there is no
    /// room is closed at once.
    ///
    /// `peer` is the other end's id if the tracker told it, `initiator` whether we made the offer, and
    /// `max_message_bytes` the largest message that the transport takes.
    #[expect(clippy::too_many_arguments, reason = "one event with everything that is known of the link")]
    pub fn link_up(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        link: LinkId,
        peer: Option<PeerId>,
        initiator: bool,
        max_message_bytes: u32,
        out: &mut SwarmOut<'_>,
    ) {
        self.see(now);
        let Err(place) = self.ids.binary_search(&link) else { return };
        if let Err(close) = self.admit(peer, max_message_bytes) {
            if let Some(reason) = close.goodbye {
                out.frame(link, &Frame::Goodbye { reason });
            }
            out.outputs.push_back(Output::CloseLink { link });
            self.report(now, peer, close.reason, out);
            out.notice(SwarmNotice::LinkGone { link });
            return;
        }
        let (first_transfer, first_nonce) = (rng.next_u32(), rng.next_u32());
        let new = Peer::new(
            now,
            link,
            peer,
            initiator,
            max_message_bytes,
            first_transfer,
            first_nonce,
            &self.limits,
        );
        self.links.insert(place, new);
        self.ids.insert(place, link);
        self.say_hello(link, out);
        self.plan_link(link);
    }

    /// Tells a peer who we are.
    pub(super) fn say_hello(&self, link: LinkId, out: &mut SwarmOut<'_>) {
        let Some(peer) = self.peer(link) else { return };
        let capabilities = match (self.consume_only, self.told_sharing) {
            (true, _) => Capabilities::default(),
            (false, true) => Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
            (false, false) => Capabilities::CUT_THROUGH,
        };
        let hello = Frame::Hello {
            min_version: MIN_VERSION,
            max_version: MAX_VERSION,
            capabilities,
            swarm: self.swarm,
            peer: self.own,
            max_message_bytes: self.message_bytes.min(peer.transport_bytes),
        };
        out.frame(link, &hello);
    }

    fn admit(&self, peer: Option<PeerId>, max_message_bytes: u32) -> Result<(), Close> {
        if max_message_bytes < MIN_MESSAGE_BYTES {
            return Err(Close::incompatible(format!(
                "the transport takes messages of at most {max_message_bytes} bytes, {MIN_MESSAGE_BYTES} are needed"
            )));
        }
        if peer == Some(self.own) {
            return Err(Close::incompatible("the peer is this viewer itself"));
        }
        if peer.is_some_and(|peer| self.admission.is_banned(peer)) {
            return Err(Close::violation("the peer is banned"));
        }
        let most = self.limits.max_peers + self.limits.max_pending_peers;
        if self.pending_count() >= self.limits.max_pending_peers || self.links.len() >= most {
            return Err(Close::replaced());
        }
        Ok(())
    }

    /// A link ended by itself. A link that the peer set does not know is none of its business.
    pub fn link_down(&mut self, now: Time, link: LinkId, cause: &LinkCloseCause, out: &mut SwarmOut<'_>) {
        self.see(now);
        let reason = match cause {
            LinkCloseCause::Remote => CloseReason::Left,
            LinkCloseCause::Failed(why) | LinkCloseCause::BadDescription(why) => {
                CloseReason::ConnectionLost(why.clone())
            }
        };
        self.remove(now, link, reason, out);
    }

    /// Says goodbye to all peers and closes all links.
    pub fn close_all(&mut self, now: Time, reason: GoodbyeReason, out: &mut SwarmOut<'_>) {
        self.see(now);
        for link in self.ids.clone() {
            self.close(now, link, Close::new(reason, CloseReason::Shutdown), out);
        }
    }

    /// A peer sent bytes that are proven wrong: closes its link and never takes it again. `why` is for people.
    pub fn ban(&mut self, now: Time, peer: PeerId, why: &str, out: &mut SwarmOut<'_>) {
        self.see(now);
        self.admission.ban(peer);
        for link in self.ids.clone() {
            if self.peer(link).is_some_and(|open| open.id.or(open.expected) == Some(peer)) {
                self.close(now, link, Close::violation(format!("banned: {why}")), out);
            }
        }
    }

    /// Closes a link from our side.
    pub(super) fn close(&mut self, now: Time, link: LinkId, close: Close, out: &mut SwarmOut<'_>) {
        if self.place(link).is_none() {
            return;
        }
        if let Some(reason) = close.goodbye {
            out.frame(link, &Frame::Goodbye { reason });
        }
        out.outputs.push_back(Output::CloseLink { link });
        self.remove(now, link, close.reason, out);
    }

    fn remove(&mut self, now: Time, link: LinkId, reason: CloseReason, out: &mut SwarmOut<'_>) {
        let Some(place) = self.place(link) else { return };
        let peer = self.links.remove(place);
        self.ids.remove(place);
        if peer.outbox.slot {
            self.slots_used -= 1;
            self.wake_at(now);
        }
        for transfer in peer.down.transfers() {
            out.notice(SwarmNotice::TransferFailed { link, transfer });
        }
        if let Some(id) = peer.id.filter(|_| peer.is_ready()) {
            out.notice(SwarmNotice::PeerGone { link, peer: id });
        }
        out.notice(SwarmNotice::LinkGone { link });
        let id = peer.id.or(peer.expected);
        // A link that was never seen to work and whose peer is here by another is nobody's concern.
        let other = self.links.iter().any(|open| open.id.is_some() && open.id == id);
        if peer.is_ready() || !other {
            self.report(now, id, reason, out);
        }
        self.promote_twin_of(now, link, out);
    }

    fn report(&mut self, now: Time, peer: Option<PeerId>, reason: CloseReason, out: &mut SwarmOut<'_>) {
        let Some(peer) = peer else {
            out.event(Event::Error { message: format!("link to an unknown peer: {reason}"), fatal: false });
            return;
        };
        self.admission.ended(now, peer, &reason);
        out.event(Event::PeerClosed { peer, reason });
    }

    fn promote_twin_of(&mut self, now: Time, gone: LinkId, out: &mut SwarmOut<'_>) {
        let twin_of_gone =
            |peer: &&mut Peer| matches!(peer.phase, Phase::Twin { rival, .. } if rival == gone);
        if let Some(link) = self.links.iter_mut().find(twin_of_gone).map(|peer| peer.link) {
            self.make_ready(now, link, out);
        }
    }

    /// Shows a peer to the engine.
    pub(super) fn make_ready(&mut self, now: Time, link: LinkId, out: &mut SwarmOut<'_>) {
        let Some(peer) = self.peer_mut(link) else { return };
        let Some(id) = peer.id else { return };
        peer.phase = Phase::Ready;
        peer.since = now;
        out.event(Event::PeerConnected { peer: id });
        out.notice(SwarmNotice::PeerReady { link });
        self.plan_link(link);
        self.wake_at(now);
    }
}
