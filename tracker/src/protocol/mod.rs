//! The tracker's side of the protocol that [`hlswarm::signal::message`] describes.
//!
//! Messages are parsed by reference: session descriptions and offer ids stay the text they were, are checked without
//! being decoded, and go out as they came in, inside JSON that the tracker writes itself. Keys it does not know are
//! never passed on.

mod incoming;
mod outgoing;
mod refusal;
mod token;

pub use incoming::{Announce, Answer, Candidates, Event, Incoming, Member, Offer, Report, Scrape, parse};
pub use outgoing::{AnnounceReply, write_announced, write_failure, write_relayed, write_scraped};
pub use refusal::{Action, Fault, Refusal};
pub use token::{SdpBounds, SdpFault, Token};
