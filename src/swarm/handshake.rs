//! The hello: who it is, whether we fit together, and which of two links to one peer stays.

use crate::id::{Id20, LinkId, SwarmId};
use crate::time::{Span, Time};
use crate::wire::{Capabilities, DATA_HEAD_LEN, Frame, MIN_MESSAGE_BYTES};

use super::Swarm;
use super::admission::{Admission, PROBATION};
use super::api::{Close, SwarmOut};
use super::outbox::Outbox;
use super::peer::{Peer, Phase};
use super::pulse::PingKind;

/// A link that was silent for this long may be dead: a second link to the same peer is a reason to ask.
pub(super) const DOUBT: Span = Span::from_secs(2);
/// How long it has to answer then.
const PROOF: Span = Span::from_secs(5);

/// What a hello says, but for the versions, which decoding has checked.
pub(super) struct Hello {
    pub(super) capabilities: Capabilities,
    pub(super) swarm: SwarmId,
    pub(super) peer: Id20,
    pub(super) max_message_bytes: u32,
}

/// What to do about a second link to one peer.
enum Verdict {
    KeepNew,
    KeepOld,
    /// Keep both until it is clear; the old one is in doubt.
    AskOld,
    /// Keep both until the other side, which made both, closes one.
    LetThemChoose,
}

impl Swarm {
    /// Takes the first frame of a link.
    pub(super) fn hello(
        &mut self,
        now: Time,
        link: LinkId,
        hello: &Hello,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let id = hello.peer;
        self.check(link, hello)?;
        let message_bytes = self.message_bytes.min(hello.max_message_bytes);
        let Some(peer) = self.peer_mut(link) else { return Ok(()) };
        peer.id = Some(id);
        peer.uploads = hello.capabilities.contains(Capabilities::UPLOADS);
        peer.cut_through = hello.capabilities.contains(Capabilities::CUT_THROUGH);
        let payload = message_bytes.min(peer.transport_bytes).saturating_sub(DATA_HEAD_LEN as u32);
        peer.outbox = Outbox::new(payload);
        let initiator = peer.initiator;

        let same = |open: &&Peer| open.link != link && open.id == Some(id);
        if self.links.iter().any(|open| same(&open) && matches!(open.phase, Phase::Twin { .. })) {
            return Err(Close::duplicate());
        }
        let rival = self.links.iter().find(same).map(|old| (old.link, self.verdict(now, old, initiator, id)));
        match rival {
            None => {
                self.make_room(now, link, out)?;
                self.make_ready(now, link, out);
            }
            Some((_, Verdict::KeepOld)) => return Err(Close::duplicate()),
            Some((old, Verdict::KeepNew)) => {
                self.close(now, old, Close::duplicate(), out);
                self.make_ready(now, link, out);
            }
            Some((old, Verdict::AskOld)) => {
                self.ping(now, old, out);
                self.hide(link, Phase::Twin { rival: old, until: now + PROOF, doubt: true });
            }
            Some((old, Verdict::LetThemChoose)) => {
                let until = now + Span::from_millis(self.limits.hello_timeout_ms);
                self.hide(link, Phase::Twin { rival: old, until, doubt: false });
            }
        }
        // An early ping: how far away a peer is decides what to ask it for.
        self.ping(now, link, out);
        self.tell_everything(link, out);
        Ok(())
    }

    /// Tells a peer what we have, and where our player is.
    pub(super) fn tell_everything(&self, link: LinkId, out: &mut SwarmOut<'_>) {
        if !self.consume_only {
            for frame in self.announcer.snapshot() {
                out.frame(link, &frame);
            }
        }
    }

    fn check(&self, link: LinkId, hello: &Hello) -> Result<(), Close> {
        if hello.swarm != self.swarm {
            let (theirs, ours) = (hello.swarm.0, self.swarm.0);
            return Err(Close::incompatible(format!("hello: swarm {theirs}, ours is {ours}")));
        }
        if hello.peer == self.own {
            return Err(Close::incompatible("hello: the peer is this viewer itself"));
        }
        let expected = self.peer(link).and_then(|peer| peer.expected);
        if let Some(expected) = expected.filter(|expected| *expected != hello.peer) {
            let id = hello.peer;
            return Err(Close::violation(format!("hello: peer {id}, the tracker told {expected}")));
        }
        if self.admission.is_banned(hello.peer) {
            return Err(Close::violation("the peer is banned"));
        }
        if hello.max_message_bytes < MIN_MESSAGE_BYTES {
            return Err(Close::violation(format!(
                "hello: takes messages of at most {} bytes, {MIN_MESSAGE_BYTES} are needed",
                hello.max_message_bytes
            )));
        }
        Ok(())
    }

    /// Both sides come to the same verdict: the link stays whose initiator has the smaller id.
    fn verdict(&self, now: Time, old: &Peer, new_is_ours: bool, id: Id20) -> Verdict {
        let maker = |ours: bool| if ours { self.own } else { id };
        let in_doubt = old.pulse.silence(now) >= DOUBT;
        match maker(new_is_ours).cmp(&maker(old.initiator)) {
            std::cmp::Ordering::Less => Verdict::KeepNew,
            std::cmp::Ordering::Equal if !new_is_ours && !in_doubt => Verdict::LetThemChoose,
            _ if in_doubt => Verdict::AskOld,
            _ => Verdict::KeepOld,
        }
    }

    fn hide(&mut self, link: LinkId, phase: Phase) {
        if let Some(peer) = self.peer_mut(link) {
            peer.phase = phase;
        }
        self.plan_link(link);
    }

    fn ping(&mut self, now: Time, link: LinkId, out: &mut SwarmOut<'_>) {
        if let Some(peer) = self.peer_mut(link) {
            let nonce = peer.pulse.ask(now, PingKind::Alive);
            out.frame(link, &Frame::Ping { nonce });
        }
    }

    /// A link that was in doubt spoke: its twin is not needed.
    pub(super) fn proved_alive(&mut self, now: Time, link: LinkId, out: &mut SwarmOut<'_>) {
        let twin = self
            .links
            .iter()
            .find(|peer| matches!(peer.phase, Phase::Twin { rival, doubt: true, .. } if rival == link));
        if let Some(twin) = twin.map(|peer| peer.link) {
            self.close(now, twin, Close::duplicate(), out);
        }
    }

    /// Makes sure that there is a place for one more ready peer, at the cost of the worst if need be. At turnover the
    /// worst goes although there would be room: that place is for those who seek us.
    fn make_room(&mut self, now: Time, link: LinkId, out: &mut SwarmOut<'_>) -> Result<(), Close> {
        let ready = self.ready_count();
        let full = ready >= self.limits.max_peers;
        let ours = self.peer(link).is_some_and(|peer| peer.initiator);
        let turnover = ours && self.admission.turnover(now) && ready >= Admission::target(&self.limits);
        if !full && !turnover {
            return Ok(());
        }
        let worst = self.worst(now).filter(|_| self.admission.may_replace(now, &self.limits));
        match worst {
            Some(worst) => {
                self.admission.replaced(now);
                self.close(now, worst, Close::replaced(), out);
                Ok(())
            }
            None if full => Err(Close::replaced()),
            None => Ok(()),
        }
    }

    /// The peer that is least missed: idle, past its probation, and lately of the least use in either direction.
    pub(super) fn worst(&self, now: Time) -> Option<LinkId> {
        let candidates = self
            .links
            .iter()
            .filter(|peer| peer.is_ready() && peer.is_idle() && now.since(peer.since) >= PROBATION);
        let merit = |peer: &&Peer| {
            let nearness = std::cmp::Reverse(peer.pulse.rtt().unwrap_or(Span::MAX));
            (peer.trust.ignored_until(now).is_none(), peer.worth.bytes(now), peer.uploads, nearness)
        };
        candidates.min_by_key(merit).map(|peer| peer.link)
    }
}
