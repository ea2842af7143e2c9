//! The server's half of RFC 6455, without extensions.
//!
//! Built for many idle connections: nothing is buffered per connection except a message that is arriving in pieces.

mod decode;
mod encode;
mod handshake;

pub use decode::{Decoder, Message, Violation};
pub use encode::{Opcode, write_close, write_frame};
pub use handshake::accept_key;
