//! The frames between two hlswarm peers.

mod frame;

pub use frame::{Capabilities, DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, Interest, RefuseReason};
