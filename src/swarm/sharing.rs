//! Whether and how fast peers are served: what the page, the network and the budget allow.

use crate::id::LinkId;
use crate::time::Time;
use crate::wire::{Frame, SHARING};

use super::Swarm;
use super::api::{SegmentStore, SwarmOut};
use super::outbox::Pace;

impl Swarm {
    /// Allows or forbids to serve requests (a metered network). Off refuses what is under way, and peers are told to
    /// ask elsewhere. Announcements go on, so that all is known when it is allowed again.
    pub fn set_sharing(&mut self, now: Time, sharing: bool, out: &mut SwarmOut<'_>) {
        self.see(now);
        self.sharing = sharing;
        if !sharing {
            self.refuse_all_uploads(out);
        }
        self.review_sharing(out);
    }

    /// The page was hidden or shown: hidden ones serve fewer peers at a time.
    pub fn set_hidden(&mut self, now: Time, hidden: bool, out: &mut SwarmOut<'_>) {
        self.see(now);
        self.hidden = hidden;
        self.review_sharing(out);
        // Uploads may have waited for a slot.
        self.wake_at(now);
    }

    /// So many segment bytes were received in all, from wherever: the ratio of uploads is measured by them.
    pub fn set_received(&mut self, bytes: u64) {
        self.budget.received(bytes);
    }

    /// Counts bytes that were sent for the same page before this peer set existed.
    pub fn carry_uploaded(&mut self, bytes: u64) {
        self.budget.carry(bytes);
    }

    /// Whether requests are served.
    pub fn shares(&self) -> bool {
        !self.consume_only && self.sharing && !self.budget.is_spent() && self.slots() > 0
    }

    /// How many peers may be served at a time.
    pub(super) fn slots(&self) -> usize {
        let most = self.limits.upload_slots;
        if self.hidden { most.min(self.limits.hidden_upload_slots) } else { most }
    }

    /// How many uploads at a time are fast enough under the bound on the rate.
    pub(super) fn paced_places(&self) -> usize {
        let fit = self.budget.pace(1).and_then(|rate| rate.checked_div(self.upload_goal));
        fit.map_or(usize::MAX, |fit| usize::try_from(fit).unwrap_or(usize::MAX).max(1))
    }

    /// What one link may send now.
    pub(super) fn pace(&self) -> Pace {
        // One byte is one message.
        let allowance = if self.budget.is_paced() { 1 } else { self.budget.total_left().unwrap_or(u64::MAX) };
        Pace { allowance, rate: self.budget.pace(self.slots_used) }
    }

    /// When uploads go on that wait for the bound on the rate.
    pub(super) fn paced_until(&self) -> Option<Time> {
        let waits = self.links.iter().any(|peer| peer.outbox.is_eager(&self.limits));
        self.budget.next_at().filter(|_| waits)
    }

    /// Serves all links message by message in turn, as far as the bound on the rate allows.
    pub(super) fn serve_in_turns(&mut self, now: Time, store: &dyn SegmentStore, out: &mut SwarmOut<'_>) {
        loop {
            let before = self.uploaded_bytes;
            self.fill_slots(now, store, out);
            let mut turns: Vec<LinkId> =
                self.links.iter().filter(|peer| peer.outbox.slot).map(|peer| peer.link).collect();
            let first = turns.partition_point(|link| *link <= self.paced_turn);
            turns.rotate_left(first);
            for link in turns {
                if !self.budget.may_send(now) {
                    break;
                }
                self.paced_turn = link;
                self.serve(now, link, store, out);
            }
            if self.uploaded_bytes == before || !self.budget.may_send(now) {
                break;
            }
        }
        if let Some(at) = self.paced_until() {
            self.wake_at(at);
        }
    }

    /// Tells the peers when we begin or cease to take requests. What was taken on is finished.
    pub(super) fn review_sharing(&mut self, out: &mut SwarmOut<'_>) {
        let shares = self.shares();
        if self.told_sharing == shares || self.consume_only {
            return;
        }
        self.told_sharing = shares;
        let frame = Frame::Extension { kind: SHARING, body: vec![u8::from(shares)] };
        for peer in &self.links {
            out.frame(peer.link, &frame);
        }
    }
}
