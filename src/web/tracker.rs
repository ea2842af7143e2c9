//! One WebSocket to a tracker.

use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::dom::{Listener, message_of};
use super::driver::Driver;
use crate::engine::Input;
use crate::id::TrackerId;

/// An open or opening WebSocket. Dropping it closes it after what was sent.
pub struct Tracker {
    socket: WebSocket,
    driver: std::rc::Weak<Driver>,
    _listeners: [Listener; 3],
}

impl Tracker {
    /// Begins to open a WebSocket.
    pub fn open(driver: &Driver, tracker: TrackerId, url: &str) -> Result<Tracker, String> {
        let socket = WebSocket::new(url).map_err(|thrown| message_of(&thrown))?;
        driver.host.keep(&socket);
        let signal = driver.host.signal();
        let on = |event, make: fn(TrackerId, JsValue) -> Option<Input>| {
            let me = driver.me.clone();
            Listener::new(&socket, event, &signal, move |happened| {
                let Some(driver) = me.upgrade() else { return };
                if let Some(input) = make(tracker, happened) {
                    if matches!(input, Input::TrackerDown { .. }) {
                        drop(driver.take_tracker(tracker));
                    }
                    driver.input(input);
                }
            })
        };
        let listeners = [
            on("open", |tracker, _| Some(Input::TrackerUp { tracker })),
            on("message", |tracker, message| {
                let text = message.unchecked_into::<MessageEvent>().data().as_string()?;
                Some(Input::TrackerText { tracker, text })
            }),
            on("close", |tracker, closed| {
                let closed: CloseEvent = closed.unchecked_into();
                let why = match closed.reason() {
                    reason if reason.is_empty() => format!("closed with code {}", closed.code()),
                    reason => format!("closed with code {}: {reason}", closed.code()),
                };
                Some(Input::TrackerDown { tracker, why })
            }),
        ];
        Ok(Tracker { socket, driver: driver.me.clone(), _listeners: listeners })
    }

    /// Sends a message, if the socket is open. If it is not, its end is on the way.
    pub fn send(&self, text: &str) {
        if self.socket.ready_state() == WebSocket::OPEN {
            let _ = self.socket.send_with_str(text);
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.socket.close();
        if let Some(driver) = self.driver.upgrade() {
            driver.host.release(&self.socket);
        }
    }
}
