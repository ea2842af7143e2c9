//! The peer set from outside: what it is told and what it says.

mod announce;
mod budget;
mod downloads;
mod floods;
mod handshake;
mod harness;
mod limits;
mod options;
mod property;
mod room;
mod uploads;
