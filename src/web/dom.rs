//! Timers and event listeners that clean up after themselves when dropped, and promises.

use std::cell::Cell;

use wasm_bindgen::prelude::*;
use web_sys::{AbortSignal, AddEventListenerOptions, EventTarget};

use super::host::Host;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &JsValue, after_ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_name = String)]
    fn to_text(value: &JsValue) -> String;
}

/// Milliseconds of the page's monotonic clock.
pub fn now_ms() -> f64 {
    performance_now()
}

/// The message of something that JavaScript threw.
pub fn message_of(thrown: &JsValue) -> String {
    to_text(thrown)
}

/// A timer that can be set again and again; the last setting counts. Cleared when dropped.
pub struct Timer {
    id: Cell<Option<JsValue>>,
    handler: Closure<dyn Fn()>,
}

impl Timer {
    /// A timer that calls `handler`; not running yet.
    pub fn new(handler: impl Fn() + 'static) -> Timer {
        Timer { id: Cell::new(None), handler: Closure::new(handler) }
    }

    /// Calls the handler after so many milliseconds, instead of when it was to be called before.
    pub fn set(&self, after_ms: f64) {
        self.clear();
        // Longer spans overflow the browser's 32-bit counter and would fire at once.
        let after_ms = after_ms.clamp(0.0, f64::from(i32::MAX));
        self.id.set(Some(set_timeout(self.handler.as_ref(), after_ms)));
    }

    /// Stops it.
    pub fn clear(&self) {
        if let Some(id) = self.id.take() {
            clear_timeout(&id);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One event listener, removed when dropped or when the page's `signal` says so.
pub struct Listener {
    target: EventTarget,
    event: &'static str,
    handler: Closure<dyn Fn(JsValue)>,
}

impl Listener {
    /// Calls `handler` with each `event` of `target`.
    pub fn new(
        target: &EventTarget,
        event: &'static str,
        signal: &AbortSignal,
        handler: impl Fn(JsValue) + 'static,
    ) -> Listener {
        let handler = Closure::<dyn Fn(JsValue)>::new(handler);
        let options = AddEventListenerOptions::new();
        options.set_signal(signal);
        // Fails only for a target that is none.
        let _ = target.add_event_listener_with_callback_and_add_event_listener_options(
            event,
            handler.as_ref().unchecked_ref(),
            &options,
        );
        Listener { target: target.clone(), event, handler }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let handler = self.handler.as_ref().unchecked_ref();
        let _ = self.target.remove_event_listener_with_callback(self.event, handler);
    }
}

/// Calls `done` when a promise is settled.
pub fn then(host: &Host, promise: &JsValue, done: impl FnOnce(Result<JsValue, JsValue>) + 'static) {
    let settled = Closure::once_into_js(move |kept: bool, value: JsValue| {
        done(if kept { Ok(value) } else { Err(value) });
    });
    host.settle(promise, &settled);
}
