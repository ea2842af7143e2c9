//! What waits at the start until the player has its first picture.
//!
//! Trackers and connections take the page's main thread and the network at the very moment when the player fetches and
//! decodes its first segment. That one comes over HTTP either way, since nobody is connected yet: connecting a moment
//! later costs no peer and lets the picture come first.

use std::cell::RefCell;
use std::rc::Weak;

use super::dom::Timer;
use super::driver::{Driver, Job};
use crate::engine::Output;

/// The longest that trackers and connections wait for the first segment.
const LIMIT_MS: f64 = 500.0;
/// How long they wait once it is delivered: the player works on it.
const DELIVERED_MS: f64 = 50.0;

/// Outputs that wait.
pub struct Start {
    /// `None` when the start is over.
    held: RefCell<Option<Vec<Output>>>,
    limit: Timer,
}

impl Start {
    /// The start of a driver. With `peers_first` nothing waits: the settings want the first segment from a peer.
    pub fn new(me: &Weak<Driver>, peers_first: bool) -> Start {
        let me = me.clone();
        let over = move || {
            if let Some(driver) = me.upgrade() {
                driver.push(Job::Started);
            }
        };
        Start { held: RefCell::new((!peers_first).then(Vec::new)), limit: Timer::new(over) }
    }

    /// Keeps an output if it is one that waits, else gives it back.
    pub fn hold(&self, output: Output) -> Option<Output> {
        let mut held = self.held.borrow_mut();
        let (Some(held), true) = (held.as_mut(), waits(&output)) else { return Some(output) };
        if held.is_empty() {
            self.limit.set(LIMIT_MS);
        }
        held.push(output);
        None
    }

    /// The player has a segment.
    pub fn delivered(&self) {
        let mut held = self.held.borrow_mut();
        match held.as_ref() {
            Some(waiting) if waiting.is_empty() => *held = None,
            Some(_) => self.limit.set(DELIVERED_MS),
            None => {}
        }
    }

    /// The start is over: gives what waited, in order.
    pub fn end(&self) -> Vec<Output> {
        self.limit.clear();
        self.held.take().unwrap_or_default()
    }
}

/// Nothing else concerns trackers or links before the first of these was run.
fn waits(output: &Output) -> bool {
    matches!(
        output,
        Output::OpenTracker { .. }
            | Output::CloseTracker { .. }
            | Output::CreateOffer { .. }
            | Output::CloseLink { .. }
    )
}
