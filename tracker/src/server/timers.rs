//! When to look at which connection again, in whole seconds.

use std::collections::BTreeMap;

use hlswarm::time::{Span, Time};

/// One entry per connection that waits for something. Entries may be stale: whoever is woken checks for itself.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<u64, Vec<u32>>,
}

impl Timers {
    /// The second in which something planned for `at` is due: never early.
    pub(super) const fn second(at: Time) -> u64 {
        at.as_micros().div_ceil(1_000_000)
    }

    /// Plans to look at `socket` in `second`.
    pub(super) fn plan(&mut self, second: u64, socket: u32) {
        self.due.entry(second).or_default().push(socket);
    }

    /// Takes the sockets of one second that has come.
    pub(super) fn pop(&mut self, now: Time) -> Option<(u64, Vec<u32>)> {
        let entry = self.due.first_entry()?;
        (*entry.key() <= now.as_micros() / 1_000_000).then(|| entry.remove_entry())
    }

    /// How long until the next whole second.
    pub(super) fn until_next_second(now: Time) -> Span {
        Span::from_micros(1_000_000 - now.as_micros() % 1_000_000)
    }
}
