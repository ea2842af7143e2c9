//! Downloads: what the scheduler asks of peers, and their answers.

use crate::config::LimitsConfig;
use crate::id::{LinkId, SegmentKey, TransferId};
use crate::time::Time;
use crate::wire::{DATA_HEAD_LEN, DataHead, Frame, HaveEntry, HaveState, RefuseReason, decode_data_head};

use super::Swarm;
use super::api::{Close, DataArrival, SwarmNotice, SwarmOut, TransferView};
use super::downloads::Downloads;
use super::handshake::DOUBT;
use super::peer::Peer;

impl Swarm {
    /// Asks a peer for `len` bytes of a segment from `at` on; a `len` of 0 means to its end. `resource_offset` is
    /// where the segment's byte range begins in its resource, 0 without one.
    ///
    /// Gives `None`, and asks nothing, when the link has no room: it is not ready, serves nobody or is ignored; it has
    /// `limits.requestsOutstandingPerPeer` downloads; too much was asked of it just now; or its or all peers' bytes
    /// in flight would pass `limits.receiveBytesPerPeer` or `limits.receiveBytesTotal`. A link without a download takes
    /// one of any size, within the total.
    #[expect(clippy::too_many_arguments, reason = "the fields of the request frame and where to send it")]
    pub fn request(
        &mut self,
        now: Time,
        link: LinkId,
        key: SegmentKey,
        resource_offset: u64,
        at: u32,
        len: u32,
        out: &mut SwarmOut<'_>,
    ) -> Option<TransferId> {
        self.see(now);
        let bytes = Downloads::request_bytes(len);
        let total = self.receiving_bytes();
        let place = self.place(link)?;
        let (peer, limits) = (self.links.get_mut(place)?, &self.limits);
        let fits = total.saturating_add(bytes) <= limits.receive_bytes_total
            && (peer.down.len() == 0
                || peer.down.outstanding_bytes().saturating_add(bytes) <= limits.receive_bytes_per_peer);
        if !fits || !peer.may_be_asked(now, limits) {
            return None;
        }
        peer.asking.spend(now);
        let transfer = peer.down.open(now, key, at, len);
        out.frame(link, &Frame::Request { transfer, key, resource_offset, at, len });
        self.plan_link(link);
        Some(transfer)
    }

    /// How many bytes may be asked of a peer now, within all limits that [`Swarm::request`] holds to; 0 when nothing may.
    pub fn room(&mut self, now: Time, link: LinkId) -> u64 {
        self.see(now);
        let total = self.receiving_bytes();
        let Some(place) = self.place(link) else { return 0 };
        let (Some(peer), limits) = (self.links.get_mut(place), &self.limits) else { return 0 };
        if !peer.may_be_asked(now, limits) {
            return 0;
        }
        let of_all = limits.receive_bytes_total.saturating_sub(total);
        of_all.min(limits.receive_bytes_per_peer.saturating_sub(peer.down.outstanding_bytes()))
    }

    /// Segment bytes that are being received from all peers.
    fn receiving_bytes(&self) -> u64 {
        self.links.iter().map(|peer| peer.down.outstanding_bytes()).sum()
    }

    /// Gives up a download. Bytes of it that are still on their way are thrown away.
    pub fn cancel(&mut self, now: Time, link: LinkId, transfer: TransferId, out: &mut SwarmOut<'_>) {
        self.see(now);
        let Some(place) = self.place(link) else { return };
        if let Some(peer) = self.links.get_mut(place) {
            peer.give_up(now, transfer, &self.limits, out);
        }
    }

    /// A data frame of `message_len` bytes came, of which `head` is the beginning (at least the first
    /// [`DATA_HEAD_LEN`] bytes). One that breaks the protocol closes the link.
    pub fn data(
        &mut self,
        now: Time,
        link: LinkId,
        head: &[u8],
        message_len: u32,
        out: &mut SwarmOut<'_>,
    ) -> DataArrival {
        self.see(now);
        let doubtful = self.peer(link).is_some_and(|peer| peer.pulse.silence(now) >= DOUBT);
        match self.take_data(now, link, head, message_len, out) {
            Ok(arrival) => {
                self.heard(now, link, doubtful, out);
                arrival
            }
            Err(close) => {
                self.close(now, link, close, out);
                DataArrival::Ignored
            }
        }
    }

    fn take_data(
        &mut self,
        now: Time,
        link: LinkId,
        head: &[u8],
        message_len: u32,
        out: &mut SwarmOut<'_>,
    ) -> Result<DataArrival, Close> {
        let most = self.message_bytes;
        let Some(peer) = self.peer(link) else { return Ok(DataArrival::Ignored) };
        if !peer.has_greeted() {
            return Err(Close::violation("data before the hello"));
        }
        if message_len > most {
            return Err(Close::violation(format!(
                "data message of {message_len} bytes where {most} are allowed"
            )));
        }
        let data = decode_data_head(head).map_err(|error| Close::violation(error.to_string()))?;
        let skip = DATA_HEAD_LEN as u32;
        self.take_payload(now, link, data, skip, message_len.saturating_sub(skip), out)
    }

    pub(super) fn take_payload(
        &mut self,
        now: Time,
        link: LinkId,
        data: DataHead,
        skip: u32,
        len: u32,
        out: &mut SwarmOut<'_>,
    ) -> Result<DataArrival, Close> {
        let Some(place) = self.place(link) else { return Ok(DataArrival::Ignored) };
        let Some(peer) = self.links.get_mut(place) else { return Ok(DataArrival::Ignored) };
        if len == 0 {
            return Err(Close::violation("data without payload"));
        }
        let arrival = peer.down.data(now, data, skip, len, &self.limits)?;
        peer.downloaded_bytes += u64::from(arrival.bytes);
        peer.worth.add(now, arrival.bytes.into());
        if let Some(transfer) = arrival.done {
            out.notice(SwarmNotice::TransferDone { link, transfer });
        }
        Ok(arrival.arrival)
    }

    pub(super) fn accepted(
        &mut self,
        now: Time,
        link: LinkId,
        transfer: TransferId,
        total_bytes: u32,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let Some(place) = self.place(link) else { return Ok(()) };
        let Some(peer) = self.links.get_mut(place) else { return Ok(()) };
        match peer.down.accepted(now, transfer, total_bytes, &self.limits)? {
            Some(total_bytes) => {
                out.notice(SwarmNotice::TransferAccepted { link, transfer, total_bytes });
                if peer.down.take_done(now, transfer) {
                    out.notice(SwarmNotice::TransferDone { link, transfer });
                }
                Ok(())
            }
            None => self.chatter(now, link).map(drop),
        }
    }

    pub(super) fn refused(
        &mut self,
        now: Time,
        link: LinkId,
        transfer: TransferId,
        reason: RefuseReason,
        out: &mut SwarmOut<'_>,
    ) -> Result<(), Close> {
        let Some(peer) = self.peer_mut(link) else { return Ok(()) };
        let Some((key, accepted)) = peer.down.refused(now, transfer) else {
            return self.chatter(now, link).map(drop);
        };
        out.notice(SwarmNotice::TransferRefused { link, transfer, reason });
        if reason == RefuseReason::NotSharing {
            peer.uploads = false;
        }
        if reason == RefuseReason::Absent {
            // A peer that drops a segment says so before it refuses. Each lie counts once: then we know better.
            if peer.have.state(key, now) == HaveState::Loaded && !accepted {
                peer.trust.absent(now);
            }
            peer.have.apply(HaveEntry { key, state: HaveState::Gone }, now);
        }
        if matches!(reason, RefuseReason::NotSharing | RefuseReason::Absent) {
            peer.have_changed(out);
        }
        Ok(())
    }

    /// One download that is not over.
    pub fn transfer(&self, link: LinkId, transfer: TransferId) -> Option<TransferView> {
        self.peer(link)?.down.view(transfer)
    }
}

impl Peer {
    /// Whether it serves, and takes one more request now.
    fn may_be_asked(&mut self, now: Time, limits: &LimitsConfig) -> bool {
        self.is_ready()
            && self.uploads
            && self.trust.ignored_until(now).is_none()
            && self.down.len() < limits.requests_outstanding_per_peer
            && self.asking.has(now)
    }

    /// Ends a download from our side and tells the peer.
    pub(super) fn give_up(
        &mut self,
        now: Time,
        transfer: TransferId,
        limits: &LimitsConfig,
        out: &mut SwarmOut<'_>,
    ) {
        if self.down.give_up(now, transfer, limits) {
            self.asking.spend(now);
            out.frame(self.link, &Frame::Cancel { transfer });
        }
    }
}
