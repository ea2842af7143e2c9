//! Control frames as they arrive.

use crate::engine::CloseReason;
use crate::id::LinkId;
use crate::time::Time;
use crate::wire::{Frame, GoodbyeReason, HaveEntry, HaveState, Interest, SHARING, WAKE, WireError, decode};

use super::Swarm;
use super::announce::MARK_LIFETIME;
use super::api::{Close, SegmentStore, SwarmNotice, SwarmOut};
use super::handshake::{DOUBT, Hello};
use super::pulse::PingKind;
use super::serve::Request;

impl Swarm {
    /// A message came that is not a data frame. One that breaks the protocol closes the link.
    pub fn control(
        &mut self,
        now: Time,
        link: LinkId,
        frame: &[u8],
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        self.see(now);
        let Some(peer) = self.peer_mut(link) else { return };
        let doubtful = peer.pulse.silence(now) >= DOUBT;
        let frame = decode(frame, self.limits.max_control_message_bytes);
        // Most frames only tell of the peer, which moves no deadline but that of its marks.
        let news = matches!(
            frame,
            Ok(Frame::Have { .. } | Frame::HaveDelta { .. } | Frame::Interest(_) | Frame::Claim(_))
        );
        let heard = match frame {
            Ok(frame) => self.frame(now, link, frame, store, out),
            Err(error @ WireError::Version { .. }) => Err(Close::incompatible(error.to_string())),
            Err(error) => Err(Close::violation(error.to_string())),
        };
        match heard {
            Ok(()) => {
                self.heard(now, link, doubtful, out);
                if !news {
                    self.plan_link(link);
                } else if let Some(at) = self.peer(link).and_then(|peer| peer.have.next_expiry()) {
                    self.wake_at(at);
                }
            }
            Err(close) => self.close(now, link, close, out),
        }
    }

    /// Something came from a peer: it is alive.
    pub(super) fn heard(&mut self, now: Time, link: LinkId, doubtful: bool, out: &mut SwarmOut<'_>) {
        if let Some(peer) = self.peer_mut(link) {
            peer.pulse.heard(now);
        }
        if doubtful {
            self.proved_alive(now, link, out);
        }
    }

    fn frame(
        &mut self,
        now: Time,
        link: LinkId,
        frame: Frame,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let Some(peer) = self.peer(link) else { return Ok(()) };
        match frame {
            // A hello is said again when the first may have been lost.
            Frame::Hello { peer: id, .. } if peer.has_greeted() && peer.id == Some(id) => {
                self.chatter(now, link).map(drop)
            }
            Frame::Hello { .. } if peer.has_greeted() => Err(Close::violation("a second hello")),
            Frame::Hello { capabilities, swarm, peer, max_message_bytes, .. } => {
                self.hello(now, link, &Hello { capabilities, swarm, peer, max_message_bytes }, out)
            }
            Frame::Goodbye { reason } => Err(Close::silent(farewell(reason))),
            Frame::Extension { kind: WAKE, body } if body.is_empty() => {
                let greeted = peer.has_greeted();
                if self.chatter(now, link)? && !greeted {
                    self.say_hello(link, out);
                }
                Ok(())
            }
            _ if !peer.has_greeted() => Err(Close::violation("the first frame is not a hello")),
            Frame::Have { track, discontinuity, first_sequence, loaded } => {
                if self.heeds(now, link, true)?
                    && let Some(peer) = self.peer_mut(link)
                {
                    peer.have.replace(track, discontinuity, first_sequence, &loaded);
                    peer.have_changed(out);
                }
                Ok(())
            }
            Frame::HaveDelta { entries } => {
                if self.heeds(now, link, true)? {
                    self.has_changed(now, link, &entries, out);
                }
                Ok(())
            }
            Frame::Request { transfer, key, resource_offset, at, len } => {
                let request = Request { transfer, key, resource_offset, at, len };
                self.requested(now, link, &request, store, out)
            }
            Frame::Cancel { transfer } => self.cancelled(now, link, transfer, store, out),
            Frame::Accept { transfer, total_bytes } => self.accepted(now, link, transfer, total_bytes, out),
            Frame::Refuse { transfer, reason } => self.refused(now, link, transfer, reason, out),
            Frame::Interest(interest) => {
                if self.chatter(now, link)?
                    && let Some(peer) = self.peer_mut(link)
                {
                    let before = peer.interest.replace(interest);
                    if before != Some(interest) && peer.is_ready() {
                        out.notice(SwarmNotice::InterestChanged { link });
                    }
                    // It was not told what we have of what it had itself, and may have dropped since.
                    let jumped = |before: Interest| before.wanted_sequence > interest.wanted_sequence;
                    if before.is_some_and(jumped) {
                        self.tell_everything(link, out);
                    }
                }
                Ok(())
            }
            Frame::Ping { nonce } => {
                if self.chatter(now, link)? {
                    out.frame(link, &Frame::Pong { nonce });
                }
                Ok(())
            }
            Frame::Pong { nonce } => self.pong(now, link, nonce, store, out),
            Frame::Claim(claim) => {
                if self.chatter(now, link)? {
                    let loaded = HaveEntry { key: claim.key, state: HaveState::Loaded };
                    out.notice(SwarmNotice::Claimed { link, claim });
                    self.has_changed(now, link, &[loaded], out);
                }
                Ok(())
            }
            #[cfg(feature = "signed")]
            Frame::Proof { record, blocks, batch } => {
                if self.chatter(now, link)? {
                    out.notice(SwarmNotice::Proved { link, record, blocks, batch });
                }
                Ok(())
            }
            Frame::Extension { kind: SHARING, body } => {
                if self.chatter(now, link)?
                    && let Some(peer) = self.peer_mut(link)
                    && let [on @ (0 | 1)] = body[..]
                {
                    peer.uploads = on == 1;
                    peer.have_changed(out);
                }
                Ok(())
            }
            Frame::Extension { .. } => self.chatter(now, link).map(drop),
        }
    }

    /// Takes a small frame into account. Tells whether to heed it.
    pub(super) fn chatter(&mut self, now: Time, link: LinkId) -> Result<bool, Close> {
        self.heeds(now, link, false)
    }

    /// Takes a frame into account. Tells whether to heed it.
    fn heeds(&mut self, now: Time, link: LinkId, announces: bool) -> Result<bool, Close> {
        let Some(peer) = self.peer_mut(link) else { return Ok(false) };
        let (bucket, what) = if announces {
            (&mut peer.announcements, "announcements")
        } else {
            (&mut peer.chatter, "small frames")
        };
        if bucket.take(now) {
            return Ok(true);
        }
        peer.ignore(now, what).map(|()| false)
    }

    /// A peer says something of single segments.
    fn has_changed(&mut self, now: Time, link: LinkId, entries: &[HaveEntry], out: &mut SwarmOut<'_>) {
        if let Some(peer) = self.peer_mut(link) {
            let mut changed = false;
            for entry in entries {
                changed |= peer.have.apply(*entry, now + MARK_LIFETIME);
            }
            if changed {
                peer.have_changed(out);
            }
        }
    }

    fn pong(
        &mut self,
        now: Time,
        link: LinkId,
        nonce: u32,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let Some(peer) = self.peer_mut(link) else { return Ok(()) };
        match peer.pulse.answered(now, nonce) {
            Some(PingKind::Alive) => Ok(()),
            Some(PingKind::Drained) => {
                let rtt = peer.pulse.rtt();
                let drained = peer.outbox.probe_answered(now, rtt);
                self.learn_uplink(now, drained);
                self.go_on(now, link, store, out);
                Ok(())
            }
            None => self.chatter(now, link).map(drop),
        }
    }
}

fn farewell(reason: GoodbyeReason) -> CloseReason {
    match reason {
        GoodbyeReason::Leaving => CloseReason::Left,
        GoodbyeReason::Duplicate => CloseReason::Duplicate,
        GoodbyeReason::Replaced => CloseReason::Replaced,
        GoodbyeReason::Violation => {
            CloseReason::Violation("the peer says that we broke the protocol".to_owned())
        }
        GoodbyeReason::Incompatible => {
            CloseReason::Incompatible("the peer says that we do not fit".to_owned())
        }
    }
}
