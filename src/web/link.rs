//! One WebRTC connection with its data channel.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{
    MessageEvent, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit, RtcDataChannelState,
    RtcDataChannelType, RtcIceGatheringState, RtcPeerConnection, RtcPeerConnectionIceEvent,
    RtcPeerConnectionState,
};

use super::candidates::{self, Candidates};
use super::dom::{Listener, Timer, message_of, then};
use super::driver::{Driver, Job};
use crate::engine::{Input, LinkCloseCause, relayed};
use crate::id::LinkId;
use crate::wire;

/// How long an offerer waits for the answerer to speak first, before it sends a wake.
const SPEAK_FIRST_MS: f64 = 150.0;
/// How long it waits after that, before it says its hello all the same.
const WAKE_MS: f64 = 2000.0;

/// What a transport that does not tell takes (RFC 8841 section 6.1).
const DEFAULT_MESSAGE_BYTES: f64 = 65536.0;
/// How long gathering may hold a description back: later candidates trickle. A dead STUN server would hold it for
/// many seconds.
const GATHER_MS: f64 = 300.0;
/// How long it may be held back while there is no candidate at all.
const GATHER_FIRST_MS: f64 = 800.0;
/// A viewer of p2p-media-loader takes no candidate later than the description.
#[cfg(feature = "interop")]
const GATHER_ALL_MS: f64 = 3000.0;

/// Which side of the negotiation a link is on.
pub enum Role {
    /// Creates the data channel and the offer.
    Offerer,
    /// Answers the offer given.
    Answerer(String),
}

/// An open or opening connection. Dropping it closes it after what was sent.
pub struct Link {
    id: LinkId,
    driver: Weak<Driver>,
    connection: RtcPeerConnection,
    channel: RefCell<Option<RtcDataChannel>>,
    offerer: bool,
    /// What of a control frame the engine is shown: one byte more than it takes, so that it sees when one is too long.
    control_bytes: u32,
    relay_only: bool,
    /// Whether the engine was told that the channel is open.
    told_up: Cell<bool>,
    /// Ends an offerer's wait for the answerer to speak first.
    silence: Timer,
    woken: Cell<bool>,
    /// Whether our description was handed to the engine.
    described: Cell<bool>,
    gather_limit: Timer,
    /// Whether the first candidate now completes the description.
    gathered_enough: Cell<bool>,
    #[cfg(feature = "interop")]
    waited_for_all: Cell<bool>,
    local: RefCell<Candidates>,
    /// Remote candidates that came before the remote description was applied; `None` afterwards.
    early: RefCell<Option<Vec<String>>>,
    listeners: RefCell<Vec<Listener>>,
}

impl Link {
    /// Makes a connection and begins its negotiation.
    pub fn open(driver: &Rc<Driver>, id: LinkId, role: Role) -> Result<Rc<Link>, LinkCloseCause> {
        let config = driver.host.rtc_config();
        let connection = RtcPeerConnection::new_with_configuration(config.unchecked_ref())
            .map_err(|thrown| LinkCloseCause::Failed(message_of(&thrown)))?;
        driver.host.keep(&connection);
        let link = Rc::new_cyclic(|me: &Weak<Link>| {
            let due = me.clone();
            let flush = me.clone();
            let unheard = me.clone();
            Link {
                id,
                driver: Rc::downgrade(driver),
                connection,
                channel: RefCell::default(),
                offerer: matches!(role, Role::Offerer),
                control_bytes: driver.control_bytes.saturating_add(1),
                relay_only: driver.relay_only,
                told_up: Cell::new(false),
                silence: Timer::new(move || with(&unheard, |link| link.unheard())),
                woken: Cell::new(false),
                described: Cell::new(false),
                gather_limit: Timer::new(move || with(&due, Link::gather_limit_passed)),
                gathered_enough: Cell::new(false),
                #[cfg(feature = "interop")]
                waited_for_all: Cell::new(false),
                local: RefCell::new(Candidates::new(move || with(&flush, Link::send_candidates))),
                early: RefCell::new(Some(Vec::new())),
                listeners: RefCell::default(),
            }
        });
        link.listen(driver);
        match role {
            Role::Offerer => {
                let options = RtcDataChannelInit::new();
                options.set_ordered(true);
                let channel = link.connection.create_data_channel_with_data_channel_dict("hlswarm", &options);
                link.adopt(driver, channel);
                link.step(None, Link::gather);
            }
            Role::Answerer(sdp) => {
                link.step(Some(("offer", sdp)), |link| {
                    link.add_early_candidates();
                    link.step(None, Link::gather);
                });
            }
        }
        Ok(link)
    }

    /// Applies the remote answer.
    pub fn accept_answer(self: &Rc<Link>, sdp: String) {
        self.step(Some(("answer", sdp)), Link::add_early_candidates);
    }

    /// Adds remote candidates, or keeps them until the remote description is there.
    pub fn add_candidates(self: &Rc<Link>, candidates: Vec<String>) {
        if let Some(early) = self.early.borrow_mut().as_mut() {
            early.extend(candidates);
            return;
        }
        self.add_to_connection(&candidates);
    }

    /// Sends one message.
    pub fn send(&self, message: &Uint8Array) -> Result<(), String> {
        match self.channel.borrow().as_ref() {
            Some(channel) if channel.ready_state() == RtcDataChannelState::Open => {
                channel.send_with_js_u8_array(message).map_err(|thrown| message_of(&thrown))
            }
            _ => Err("the data channel is not open".to_owned()),
        }
    }

    /// Takes a step of the negotiation, the remote description or with `None` our own, then the next; a failure ends the
    /// link. The step does not keep the link alive: a link that is dropped closes at once.
    fn step(self: &Rc<Link>, remote: Option<(&'static str, String)>, next: impl FnOnce(&Rc<Link>) + 'static) {
        let Some(driver) = self.driver.upgrade() else { return };
        let (kind, sdp) = remote.unzip();
        let done = driver.host.describe(&self.connection, kind, sdp.as_deref());
        let me = Rc::downgrade(self);
        then(&driver.host, &done, move |done| {
            with(&me, |link| match done {
                Ok(_) => next(link),
                Err(thrown) => link.down(LinkCloseCause::BadDescription(message_of(&thrown))),
            });
        });
    }

    fn add_to_connection(&self, candidates: &[String]) {
        if let Some(driver) = self.driver.upgrade() {
            candidates::add(&driver.host, &self.connection, candidates);
        }
    }

    fn add_early_candidates(self: &Rc<Link>) {
        let early = self.early.borrow_mut().take();
        self.add_to_connection(&early.unwrap_or_default());
    }

    fn listen(self: &Rc<Link>, driver: &Driver) {
        self.on(driver, &self.connection, "icecandidate", |link, event| {
            let event: RtcPeerConnectionIceEvent = event.unchecked_into();
            if let Some(candidate) = event.candidate() {
                link.local.borrow_mut().push(&candidate, link.relay_only);
                link.candidate_found();
            }
        });
        self.on(driver, &self.connection, "icegatheringstatechange", |link, _| link.gathering_changed());
        self.on(driver, &self.connection, "connectionstatechange", |link, _| {
            if link.connection.connection_state() == RtcPeerConnectionState::Failed {
                link.down(LinkCloseCause::Failed("the connection failed".to_owned()));
            }
        });
        self.on(driver, &self.connection, "datachannel", |link, event| {
            // One channel per link, from the offerer.
            if let Some(driver) = link.driver.upgrade()
                && !link.offerer
                && link.channel.borrow().is_none()
            {
                link.adopt(&driver, event.unchecked_into::<RtcDataChannelEvent>().channel());
            } else {
                // What came over more would pass by every bound: it is as wrong as text.
                link.received(event);
            }
        });
    }

    fn adopt(self: &Rc<Link>, driver: &Driver, channel: RtcDataChannel) {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(self.low_water_bytes(driver));
        self.on(driver, &channel, "open", |link, _| {
            // The answerer's page hears of the channel in an event of its own, and a message that overtakes this event
            // is lost: once in some hundred links it was the hello. So the offerer lets the answerer speak first.
            if link.offerer {
                link.silence.set(SPEAK_FIRST_MS);
            } else {
                link.up();
            }
        });
        self.on(driver, &channel, "message", |link, event| {
            link.received(event.unchecked_into::<MessageEvent>().data());
        });
        self.on(driver, &channel, "bufferedamountlow", |link, _| {
            #[cfg(feature = "interop")]
            if link.id.is_stock() {
                return link.input(Input::LinkDrained { link: link.id });
            }
            link.input(Input::LinkWritable { link: link.id });
        });
        self.on(driver, &channel, "close", |link, _| link.down(LinkCloseCause::Remote));
        let open = channel.ready_state() == RtcDataChannelState::Open;
        *self.channel.borrow_mut() = Some(channel);
        if open {
            self.up();
        }
    }

    #[cfg(not(feature = "interop"))]
    fn low_water_bytes(&self, driver: &Driver) -> u32 {
        driver.low_water_bytes
    }

    /// The stock wire has no ping that would tell when everything has arrived: the empty buffer stands for that.
    #[cfg(feature = "interop")]
    fn low_water_bytes(&self, driver: &Driver) -> u32 {
        if self.id.is_stock() { 0 } else { driver.low_water_bytes }
    }

    fn on(
        self: &Rc<Link>,
        driver: &Driver,
        target: &web_sys::EventTarget,
        event: &'static str,
        act: impl Fn(&Rc<Link>, JsValue) + 'static,
    ) {
        let me = Rc::downgrade(self);
        let listener = Listener::new(target, event, &driver.host.signal(), move |happened| {
            with(&me, |link| act(link, happened));
        });
        self.listeners.borrow_mut().push(listener);
    }

    fn input(&self, input: Input) {
        if let Some(driver) = self.driver.upgrade() {
            driver.input(input);
        }
    }

    fn down(&self, cause: LinkCloseCause) {
        if let Some(driver) = self.driver.upgrade() {
            driver.link_down(self.id, cause);
        }
    }

    /// The answerer was not heard. Chromium loses now and then what an answerer sends in the very event that brings it the
    /// channel: a wake makes it say that again.
    fn unheard(&self) {
        #[cfg(feature = "interop")]
        if self.id.is_stock() {
            // A stock peer knows no wake. Its gateway says again what may have been lost.
            return self.up();
        }
        if self.woken.replace(true) || self.send(&Uint8Array::from(&[wire::WAKE][..])).is_err() {
            return self.up();
        }
        self.silence.set(WAKE_MS);
    }

    /// Says that the channel is open, once. An answerer's channel is open before its event comes.
    fn up(&self) {
        if self.told_up.replace(true) {
            return;
        }
        self.silence.clear();
        let largest = Reflect::get(&self.connection, &"sctp".into())
            .and_then(|transport| Reflect::get(&transport, &"maxMessageSize".into()))
            .ok()
            .and_then(|size| size.as_f64())
            .filter(|&size| size > 0.0)
            .unwrap_or(DEFAULT_MESSAGE_BYTES);
        self.input(Input::LinkUp { link: self.id, max_message_bytes: largest as u32 });
    }

    fn received(&self, message: JsValue) {
        let Some(driver) = self.driver.upgrade() else { return };
        // What brings messages is open. The engine drops those of a link that it does not know to be up, and a lost
        // hello ends the link.
        self.up();
        let Ok(buffer) = message.dyn_into::<ArrayBuffer>() else {
            // Text is nothing that a peer of ours sends: an empty frame is as wrong, and the engine deals with it.
            return driver.input(Input::Control { link: self.id, frame: Vec::new() });
        };
        let length = buffer.byte_length();
        #[cfg(feature = "interop")]
        if self.id.is_stock() {
            return driver.push(Job::Stock(self.id, buffer));
        }
        let seen = Uint8Array::new_with_byte_offset_and_length(&buffer, 0, length.min(self.control_bytes));
        if length > 0 && wire::is_data_frame(seen.get_index(0)) {
            driver.push(Job::Frame(self.id, buffer));
        } else {
            driver.input(Input::Control { link: self.id, frame: seen.to_vec() });
        }
    }

    /// Waits for candidates, not for long.
    fn gather(self: &Rc<Link>) {
        self.gather_limit.set(GATHER_MS);
        self.gathering_changed();
    }

    fn candidate_found(&self) {
        if self.described.get() {
            self.local.borrow().flush_soon();
        } else if self.gathered_enough.get() {
            self.describe();
        }
    }

    fn gathering_changed(&self) {
        if self.connection.ice_gathering_state() == RtcIceGatheringState::Complete {
            self.describe();
        }
    }

    fn gather_limit_passed(self: &Rc<Link>) {
        #[cfg(feature = "interop")]
        if self.id.is_stock() && !self.waited_for_all.replace(true) {
            return self.gather_limit.set(GATHER_ALL_MS - GATHER_MS);
        }
        let first_time = !self.gathered_enough.replace(true);
        if first_time && self.local.borrow().is_empty() {
            self.gather_limit.set(GATHER_FIRST_MS - GATHER_MS);
        } else {
            self.describe();
        }
    }

    /// Hands our description over, once, with the candidates found so far.
    fn describe(&self) {
        let Some(description) = self.connection.local_description() else { return };
        if self.described.replace(true) {
            return;
        }
        self.gather_limit.clear();
        self.local.borrow_mut().clear();
        let (link, mut sdp) = (self.id, description.sdp());
        if self.relay_only {
            sdp = relayed::scrub_description(&sdp);
        }
        self.input(if self.offerer {
            Input::OfferReady { link, sdp }
        } else {
            Input::AnswerReady { link, sdp }
        });
    }

    fn send_candidates(self: &Rc<Link>) {
        let candidates = self.local.borrow_mut().take();
        if !candidates.is_empty() {
            self.input(Input::LocalCandidates { link: self.id, candidates });
        }
    }
}

fn with(link: &Weak<Link>, act: impl FnOnce(&Rc<Link>)) {
    if let Some(link) = link.upgrade() {
        act(&link);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Listeners first: closing must not look like news.
        self.listeners.take();
        if let Some(driver) = self.driver.upgrade() {
            driver.host.release(&self.connection);
            let channel = self.channel.take().map_or(JsValue::UNDEFINED, JsValue::from);
            driver.host.retire(&self.connection, &channel);
        } else {
            self.connection.close();
        }
    }
}
