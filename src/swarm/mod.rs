//! The peers: admission, handshake, what they have, what is asked of them and what they are sent.
//!
//! A [`Swarm`] is the set of links to other viewers of the manifest. It decides nothing about segments: the engine
//! tells it what is there ([`Swarm::set_state`], [`SegmentStore`]) and what to ask for ([`Swarm::request`]), and it
//! tells the engine what peers have ([`Swarm::holders`]) and what became of each download ([`SwarmNotice`]).
//!
//! Order of calls: [`Swarm::link_up`] once a data channel is open; [`Swarm::control`] and [`Swarm::data`] for its
//! messages; [`Swarm::link_down`] when it ended by itself. [`Swarm::tick`] at [`Swarm::next_deadline`], and at the end
//! of each step: it costs nothing when nothing is due. After each call the engine takes the notices. A download is
//! over after its first [`SwarmNotice::TransferDone`], [`SwarmNotice::TransferRefused`] or
//! [`SwarmNotice::TransferFailed`], or after [`Swarm::cancel`].
//!
//! All bounds come from [`LimitsConfig`].

mod admission;
mod announce;
mod api;
mod buckets;
mod budget;
mod downloads;
mod handshake;
mod have_map;
mod inbound;
mod links;
mod outbox;
mod peer;
mod pulse;
mod rate;
mod serve;
mod sharing;
#[cfg(feature = "interop")]
mod stock;
mod transfers;
mod trust;
mod upload;
mod views;

use crate::random::ChaCha8Rng;

use crate::config::{Config, LimitsConfig};
use crate::id::{LinkId, PeerId, SegmentKey, SwarmId};
use crate::time::{Deadline, Span, Time, Wake};
use crate::wire::{Frame, HaveState, Interest, RefuseReason, encode};

use admission::Admission;
use announce::Announcer;
use budget::Budget;
use peer::{Peer, Phase};
use pulse::{Beat, PingKind};
use rate::LineRate;

pub use api::{DataArrival, PeerView, SegmentStore, StoredSegment, SwarmNotice, SwarmOut, TransferView};
pub use serve::is_strong;

use api::Close;

/// The peer set of one viewer.
#[derive(Clone, Debug)]
pub struct Swarm {
    limits: LimitsConfig,
    consume_only: bool,
    /// Whether requests may be served at the moment.
    sharing: bool,
    /// Whether the page is hidden.
    hidden: bool,
    /// Whether peers take us for one who serves requests.
    told_sharing: bool,
    budget: Budget,
    message_bytes: u32,
    longest_download: Span,
    swarm: SwarmId,
    own: PeerId,
    /// The latest time that was told.
    clock: Time,
    /// Nothing is due before; `None` when nothing will be.
    wake: Option<Time>,
    /// In the order of their ids.
    links: Vec<Peer>,
    /// Their ids, side by side: a link is looked for at each message, and peers lie far apart in memory.
    ids: Vec<LinkId>,
    admission: Admission,
    announcer: Announcer,
    slots_used: usize,
    /// What the uplink can do.
    uplink: LineRate,
    /// How many peers are served at a time: by what the uplink can do, at most `limits.uploadSlots`.
    places: usize,
    /// How fast each upload should be, in bytes a second.
    upload_goal: u64,
    /// The link that was given a slot last.
    served: LinkId,
    /// The link that sent last under a bound on the rate.
    paced_turn: LinkId,
    uploaded_bytes: u64,
}

impl Swarm {
    /// An empty peer set of the viewer `own`.
    pub fn new(config: &Config, swarm: SwarmId, own: PeerId) -> Swarm {
        let limits = config.limits.clone();
        Swarm {
            consume_only: config.loader.consume_only,
            sharing: true,
            hidden: false,
            told_sharing: true,
            budget: Budget::new(&config.loader),
            message_bytes: config.loader.web_rtc_max_message_size.min(limits.max_data_message_bytes),
            longest_download: Span::from_millis(config.loader.p2p_segment_download_timeout),
            swarm,
            own,
            clock: Time::ZERO,
            wake: None,
            links: Vec::new(),
            ids: Vec::new(),
            admission: Admission::new(),
            announcer: Announcer::new(limits.have_window),
            slots_used: 0,
            uplink: LineRate::default(),
            places: serve::FIRST_PLACES.min(limits.upload_slots),
            upload_goal: 0,
            served: LinkId(0),
            paced_turn: LinkId(0),
            uploaded_bytes: 0,
            limits,
        }
    }

    /// What we have of a segment changed. Peers are told within a tenth of a second, at once after a quiet time;
    /// fetching is repeated until something else is set.
    pub fn set_state(&mut self, now: Time, key: SegmentKey, state: HaveState) {
        self.see(now);
        // A viewer that serves nobody has nothing to announce.
        if !self.consume_only {
            self.announcer.set_state(key, state, now);
            self.plan_announcements();
        }
    }

    /// The player moved. Peers are told within a quarter of a second, and within eight if it only went on a little.
    pub fn set_interest(&mut self, now: Time, interest: Interest) {
        self.see(now);
        self.announcer.set_interest(interest);
        self.plan_announcements();
    }

    /// Tells the peers what is known of a segment that we have; a viewer that serves nobody has nothing to say. A claim says,
    /// too, that we have it: peers are not told so a second time.
    pub fn tell_all(&mut self, now: Time, frame: &Frame, out: &mut SwarmOut<'_>) {
        if self.consume_only {
            return;
        }
        if let Frame::Claim(claim) = frame {
            self.announcer.told_loaded(claim.key, now);
        }
        self.broadcast(frame, out);
    }

    /// Does what has become due.
    pub fn tick(
        &mut self,
        now: Time,
        rng: &mut ChaCha8Rng,
        store: &dyn SegmentStore,
        out: &mut SwarmOut<'_>,
    ) {
        self.see(now);
        if self.wake.is_none_or(|wake| wake > now) {
            return;
        }
        self.tick_links(now, out);
        for frame in self.announcer.due(now) {
            self.broadcast(&frame, out);
        }
        let ready = self.ready_count();
        self.admission.tick(now, rng, &self.limits, ready);
        self.serve_all(now, store, out);
        let links = self.links.iter().map(|peer| peer.next_deadline(self.longest_download, &self.limits));
        let others = [self.announcer.next_deadline(), self.admission.next_deadline(), self.paced_until()];
        self.wake = links.chain(others.into_iter().flatten()).min();
    }

    /// When [`Swarm::tick`] is due; it may find nothing to do then.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.wake.map(|at| Deadline::new(at, Wake::Peer))
    }

    fn tick_links(&mut self, now: Time, out: &mut SwarmOut<'_>) {
        let mut closes = Vec::new();
        for peer in &mut self.links {
            match peer.phase {
                Phase::Greeting { until } if until <= now => {
                    let waited = self.limits.hello_timeout_ms;
                    closes.push((peer.link, Close::timeout(format!("no hello within {waited} ms"))));
                    continue;
                }
                Phase::Twin { rival, until, doubt: true } if until <= now => {
                    closes.push((rival, Close::timeout("silent, and the peer made another link")));
                }
                Phase::Twin { until, doubt: false, .. } if until <= now => {
                    closes.push((peer.link, Close::duplicate()));
                }
                Phase::Greeting { .. } => continue,
                Phase::Twin { .. } | Phase::Ready => {}
            }
            match peer.pulse.tick(now) {
                Some(Beat::Ping(nonce)) => out.frame(peer.link, &Frame::Ping { nonce }),
                Some(Beat::Dead) => {
                    let missed = self.limits.missed_pings_before_close;
                    closes.push((peer.link, Close::timeout(format!("{missed} pings were not answered"))));
                    continue;
                }
                None => {}
            }
            if peer.have.expire(now) {
                peer.have_changed(out);
            }
            for transfer in peer.down.overdue(now, self.longest_download, &self.limits) {
                peer.give_up(now, transfer, &self.limits, out);
                out.notice(SwarmNotice::TransferFailed { link: peer.link, transfer });
            }
            for upload in peer.outbox.take_overdue(now, &self.limits) {
                let reason = RefuseReason::Busy;
                out.frame(peer.link, &Frame::Refuse { transfer: upload.transfer, reason });
            }
            if peer.outbox.len() == 0 && std::mem::take(&mut peer.outbox.slot) {
                self.slots_used -= 1;
            }
            peer.outbox.watch(now, &self.limits);
            peer.probe(now, out);
        }
        for (link, close) in closes {
            self.close(now, link, close, out);
        }
    }

    /// Takes note of the time.
    fn see(&mut self, now: Time) {
        self.clock = self.clock.max(now);
    }

    fn wake_at(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn plan_announcements(&mut self) {
        if let Some(at) = self.announcer.next_deadline() {
            self.wake_at(at);
        }
    }

    fn plan_link(&mut self, link: LinkId) {
        if let Some(peer) = self.peer(link) {
            let at = peer.next_deadline(self.longest_download, &self.limits);
            self.wake_at(at);
        }
    }

    fn place(&self, link: LinkId) -> Option<usize> {
        self.ids.binary_search(&link).ok()
    }

    fn peer(&self, link: LinkId) -> Option<&Peer> {
        self.links.get(self.place(link)?)
    }

    fn peer_mut(&mut self, link: LinkId) -> Option<&mut Peer> {
        let place = self.place(link)?;
        self.links.get_mut(place)
    }

    /// Sends a frame to every peer that has said hello and that it concerns.
    fn broadcast(&self, frame: &Frame, out: &mut SwarmOut<'_>) {
        let bytes = encode(frame);
        for peer in self.links.iter().filter(|peer| peer.has_greeted()) {
            let concerned = match frame {
                Frame::Claim(claim) => peer.may_want(claim.key, self.clock),
                Frame::HaveDelta { entries } => {
                    entries.iter().any(|entry| peer.may_want(entry.key, self.clock))
                }
                _ => true,
            };
            if concerned {
                out.bytes(peer.link, bytes.clone());
            }
        }
    }
}

impl Peer {
    /// Whether it matters to this peer who has a segment: it has not said that it has it, and did not play past it. Who goes
    /// back is told everything anew.
    fn may_want(&self, key: SegmentKey, now: Time) -> bool {
        #[cfg(feature = "interop")]
        if self.link.is_stock() {
            // It does not say where its player is.
            return true;
        }
        self.have.state(key, now) != HaveState::Loaded
            && self.interest.is_none_or(|at| at.track != key.track || at.playing_sequence <= key.sequence)
    }

    /// Asks whether the send buffer drained, if that is due.
    fn probe(&mut self, now: Time, out: &mut SwarmOut<'_>) {
        if self.outbox.probe(now) {
            let nonce = self.pulse.ask(now, PingKind::Drained);
            out.frame(self.link, &Frame::Ping { nonce });
        }
    }
}

#[cfg(test)]
mod tests;
