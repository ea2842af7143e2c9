//! The frames between two hlswarm peers. `docs/wire.md` describes them for other implementers.
//!
//! A message is a data frame when [`is_data_frame`] says so of its first byte: then only its head is
//! [decoded](decode_data_head), and the payload stays where it is. Every other message is a control frame, which
//! [`decode`] turns into a [`Frame`] or a [`WireError`]; there is nothing in between.
//!
//! ```
//! use hlswarm::wire::{Frame, decode, encode};
//!
//! let bytes = encode(&Frame::Ping { nonce: 7 });
//! assert_eq!(bytes, [0x08, 0, 0, 0, 7]);
//! assert_eq!(decode(&bytes, 4096), Ok(Frame::Ping { nonce: 7 }));
//! assert_eq!(decode(&bytes[..3], 4096).unwrap_err().to_string(), "ping: 3 bytes where 5 are needed");
//! ```

pub mod bitmap;
mod decode;
mod encode;
mod error;
mod frame;

pub use decode::{agreed_version, decode, decode_data_head};
pub use encode::{encode, encode_data_head};
pub use error::WireError;
pub use frame::{
    Capabilities, Claim, DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, Interest, RefuseReason,
    SHARING, WAKE,
};

/// The lowest protocol version that this crate speaks.
pub const MIN_VERSION: u8 = 1;
/// The highest protocol version that this crate speaks.
pub const MAX_VERSION: u8 = 1;
/// Bytes before the payload of a data frame.
pub const DATA_HEAD_LEN: usize = 9;
/// Most bits in the bitmap of a [`Frame::Have`].
pub const MAX_HAVE_BITS: usize = 2048;
/// Most entries in a [`Frame::HaveDelta`].
pub const MAX_HAVE_ENTRIES: usize = 64;
/// Most digests of blocks in a [`Frame::Proof`].
pub const MAX_PROOF_BLOCKS: usize = 112;
/// Every peer takes messages of at least this size; no control frame of this version is larger.
pub const MIN_MESSAGE_BYTES: u32 = 2048;

/// Whether a message is a data frame, by its first byte.
pub const fn is_data_frame(first: u8) -> bool {
    first == kind::DATA
}

/// First bytes. From [`EXTENSION`](kind::EXTENSION) on a receiver that does not know the type skips the frame.
mod kind {
    pub const DATA: u8 = 0x00;
    pub const HELLO: u8 = 0x01;
    pub const HAVE: u8 = 0x02;
    pub const HAVE_DELTA: u8 = 0x03;
    pub const REQUEST: u8 = 0x04;
    pub const ACCEPT: u8 = 0x05;
    pub const REFUSE: u8 = 0x06;
    pub const CANCEL: u8 = 0x07;
    pub const PING: u8 = 0x08;
    pub const PONG: u8 = 0x09;
    pub const GOODBYE: u8 = 0x0a;
    pub const INTEREST: u8 = 0x0b;
    pub const EXTENSION: u8 = 0x80;
    pub const CLAIM: u8 = 0x80;
    #[cfg(feature = "signed")]
    pub const PROOF: u8 = 0x81;
}

#[cfg(test)]
mod tests;
