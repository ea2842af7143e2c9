//! Signs HLS segments, so that viewers who share them never play a wrong byte: the parts of `hlswarm-sign`.
//! `docs/integrity.md` has the format and what it is good for.

#![forbid(unsafe_code)]

pub mod keys;
pub mod peertube;
pub mod signing;
pub mod tree;
pub mod verify;
