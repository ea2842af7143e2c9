//! What links to viewers of p2p-media-loader need beside what all links have.

use crate::engine::CloseReason;
use crate::id::LinkId;
use crate::time::Time;
use crate::wire::DataHead;

use super::Swarm;
use super::api::{Close, DataArrival, SwarmOut};

/// The largest message of segment bytes that a stock peer may be configured to send.
const MESSAGE_BYTES: u32 = 256 * 1024;

impl Swarm {
    /// As [`Swarm::data`], for segment bytes that came without a head.
    pub fn stock_data(
        &mut self,
        now: Time,
        link: LinkId,
        head: DataHead,
        len: u32,
        out: &mut SwarmOut<'_>,
    ) -> DataArrival {
        self.see(now);
        let taken = if len > MESSAGE_BYTES {
            Err(Close::violation(format!("{len} bytes at once where {MESSAGE_BYTES} are allowed")))
        } else {
            self.take_payload(now, link, head, 0, len, out)
        };
        match taken {
            Ok(arrival) => {
                self.heard(now, link, false, out);
                arrival
            }
            Err(close) => {
                self.close(now, link, close, out);
                DataArrival::Ignored
            }
        }
    }

    /// A peer broke a protocol that is not ours: closes the link.
    pub fn violated(&mut self, now: Time, link: LinkId, what: String, out: &mut SwarmOut<'_>) {
        self.see(now);
        self.close(now, link, Close::violation(what), out);
    }

    /// A link is closed because it is not needed.
    pub fn leave(&mut self, now: Time, link: LinkId, out: &mut SwarmOut<'_>) {
        self.see(now);
        self.close(now, link, Close::silent(CloseReason::Shutdown), out);
    }
}
