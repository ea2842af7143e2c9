//! ICE candidates: ours on their way out in batches, the other side's checked on their way in.

use js_sys::{JSON, Reflect};
use web_sys::{RtcIceCandidate, RtcIceCandidateInit, RtcPeerConnection};

use super::dom::{Timer, then};
use super::host::Host;
use crate::engine::relayed;

/// Candidates come in bursts: one message to the tracker for each burst.
const BATCH_MS: f64 = 50.0;
/// The largest candidate that the tracker relays, and that is taken from the other side, in bytes.
const CANDIDATE_BYTES: usize = 512;

/// Candidates that were found and not yet handed over.
pub struct Candidates {
    found: Vec<String>,
    timer: Timer,
}

impl Candidates {
    /// None yet; `flush` is called when a batch is due.
    pub fn new(flush: impl Fn() + 'static) -> Candidates {
        Candidates { found: Vec::new(), timer: Timer::new(flush) }
    }

    /// Adds one. The empty candidate that marks the end is left out: nothing depends on it. With `relay_only` all are
    /// left out that are no relay's.
    pub fn push(&mut self, candidate: &RtcIceCandidate, relay_only: bool) {
        let line = candidate.candidate();
        let line = if relay_only { relayed::scrub_candidate(&line) } else { Some(line) };
        let Some(line) = line.filter(|line| !line.is_empty()) else { return };
        let init = candidate.to_json();
        if Reflect::set(&init, &"candidate".into(), &line.into()).is_err() {
            return;
        }
        let text = JSON::stringify(&init).ok().and_then(|text| text.as_string());
        self.found.extend(text.filter(|text| text.len() <= CANDIDATE_BYTES));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Calls `flush` soon.
    pub fn flush_soon(&self) {
        self.timer.set(BATCH_MS);
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.found)
    }

    /// Forgets all: they are in the description.
    pub fn clear(&mut self) {
        self.found.clear();
    }
}

/// Adds the other side's candidates, those that are what they should be. The browser checks the rest; what it
/// refuses is left out, as a candidate that leads nowhere would be.
pub fn add(host: &Host, connection: &RtcPeerConnection, candidates: &[String]) {
    for text in candidates {
        let Some(init) = parse(text) else { continue };
        let added = connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init));
        then(host, &added, |_| {});
    }
}

fn parse(text: &str) -> Option<RtcIceCandidateInit> {
    if text.len() > CANDIDATE_BYTES {
        return None;
    }
    let parsed = JSON::parse(text).ok()?;
    let field = |name: &str| Reflect::get(&parsed, &name.into()).ok();
    let candidate = field("candidate")?.as_string().filter(|line| line.starts_with("candidate:"))?;
    // Only known fields are copied.
    let init = RtcIceCandidateInit::new(&candidate);
    init.set_sdp_mid(field("sdpMid").and_then(|mid| mid.as_string()).as_deref());
    let index =
        field("sdpMLineIndex").and_then(|index| index.as_f64()).filter(|index| (0.0..64.0).contains(index));
    init.set_sdp_m_line_index(index.map(|index| index as u16));
    Some(init)
}
