//! What viewers of p2p-media-loader need of the shell, and what the page tells for them.

use js_sys::{ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::prelude::*;

use super::driver::Driver;
use super::shell::{Shell, parse_track};
use crate::engine::{Input, TrackKind};
use crate::id::LinkId;
use crate::interop::Numbering;
use crate::interop::command::is_framed;
use crate::interop::identity::{Properties, Version, stream_swarms};
use crate::json::Value;
use crate::time::Time;

/// What a message has at least that may be a command.
const FRAME_BYTES: u32 = 8;
/// The longest message that is looked at as a command; a longer one is bytes.
const COMMAND_BYTES: u32 = 72 * 1024;

impl Driver {
    /// A message came on a stock link. Whether it is a command is in its first and last bytes.
    pub(super) fn feed_stock(&self, now: Time, link: LinkId, buffer: &ArrayBuffer) {
        let message = Uint8Array::new(buffer);
        if looks_framed(&message) {
            let frame = message.to_vec();
            let command = self.engine().is_stock_command(link, &frame);
            if command {
                return self.engine().handle(now, Input::Control { link, frame });
            }
        }
        let placement = self.engine().place_frame(now, link, &[], message.length());
        self.place(placement, &message);
    }
}

fn looks_framed(message: &Uint8Array) -> bool {
    let length = message.length();
    if !(FRAME_BYTES..=COMMAND_BYTES).contains(&length) {
        return false;
    }
    let ends = [message.subarray(0, 4).to_vec(), message.subarray(length - 4, length).to_vec()].concat();
    is_framed(&ends)
}

/// The messages that carry these segment bytes to a stock peer: one, unless that would look like a command.
pub fn messages(bytes: &Uint8Array) -> Vec<Uint8Array> {
    let mut messages = Vec::new();
    let mut rest = bytes.clone();
    while looks_framed(&rest) {
        // Too short to look like anything.
        messages.push(rest.subarray(0, FRAME_BYTES - 1));
        rest = rest.subarray(FRAME_BYTES - 1, rest.length());
    }
    messages.push(rest);
    messages
}

#[wasm_bindgen]
impl Shell {
    /// The manifest's streams for viewers of p2p-media-loader. `manifest` names the manifest as they do; `streams` is
    /// JSON: `[track, audio, properties]` for each.
    #[wasm_bindgen(js_name = stockStreams)]
    pub fn stock_streams(&self, v3: bool, manifest: &str, streams: &str) -> Result<(), JsError> {
        let streams = Value::parse(streams).map_err(|error| JsError::new(&error.to_string()))?;
        let version = if v3 { Version::V3 } else { Version::V2 };
        let (mut tracks, mut described) = (Vec::new(), Vec::new());
        for stream in streams.as_array().unwrap_or_default() {
            let Some([track, audio, properties]) = stream.as_array() else { continue };
            tracks.push(parse_track(track.as_str().unwrap_or_default())?);
            let kind = if audio.as_bool() == Some(true) { TrackKind::Audio } else { TrackKind::Main };
            described.push((kind, Properties::from_json(properties)));
        }
        let swarms = tracks.into_iter().zip(stream_swarms(version, manifest, &described)).collect();
        self.driver.input(Input::StockSwarms { swarms });
        Ok(())
    }

    /// How viewers of p2p-media-loader count the segments of a track: by their place among `count` of which the first
    /// has the number `first`, or by sequence if `count` is 0.
    #[wasm_bindgen(js_name = stockPlaylist)]
    pub fn stock_playlist(&self, track: &JsString, first: f64, count: f64) -> Result<(), JsError> {
        let track = parse_track(&String::from(track))?;
        let numbering = if count > 0.0 {
            Numbering::Index { first: first as u64, count: count as u64 }
        } else {
            Numbering::Sequence
        };
        self.driver.input(Input::StockPlaylist { track, numbering });
        Ok(())
    }
}
