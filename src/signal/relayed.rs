//! Relay-only mode: of ours, only the addresses of TURN servers may leave.
//!
//! A shell cleans what it hands over ([`scrub_description`], [`scrub_candidate`]); the engine refuses what is not clean
//! ([`is_description`], [`is_candidate`]), so that one mistake tells nobody anything. Candidates are those of RFC 8839
//! section 5.1: `candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE`, then pairs of names and values.

use crate::json::Value;

const ADDRESS: usize = 4;
const TYPE: usize = 7;

/// The line of a relay's candidate with the address behind the relay taken out; `None` for every other candidate.
pub fn scrub_candidate(line: &str) -> Option<String> {
    let mut fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.get(TYPE - 1) != Some(&"typ") || fields.get(TYPE) != Some(&"relay") {
        return None;
    }
    let mut place = TYPE + 1;
    while let Some(value) = fields.get(place + 1) {
        let hidden = match fields.get(place) {
            Some(&"raddr") => {
                if value.contains(':') {
                    "::"
                } else {
                    "0.0.0.0"
                }
            }
            Some(&"rport") => "0",
            _ => value,
        };
        fields[place + 1] = hidden;
        place += 2;
    }
    Some(fields.join(" "))
}

/// A session description without any address that is not a relay's.
pub fn scrub_description(sdp: &str) -> String {
    let relays = relays(sdp);
    let mut clean = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        if line.starts_with("a=candidate:") {
            let Some(candidate) = scrub_candidate(line) else { continue };
            clean.push_str(&candidate);
        } else if let Some(at) = foreign_address(line, &relays) {
            clean.push_str(line.get(..at).unwrap_or_default());
            clean.push_str(if line.split(' ').any(|word| word == "IP6") { "::" } else { "0.0.0.0" });
        } else {
            clean.push_str(line);
        }
        clean.push_str("\r\n");
    }
    clean
}

/// Whether a session description of ours tells no address that is not a relay's.
pub fn is_description(sdp: &str) -> bool {
    let relays = relays(sdp);
    sdp.lines().all(|line| match line.strip_prefix("a=candidate:") {
        Some(_) => is_clean(line),
        None => foreign_address(line, &relays).is_none(),
    })
}

/// Whether a trickled candidate (the JSON text of an `RTCIceCandidateInit`) is a relay's and tells nothing else.
pub fn is_candidate(init: &str) -> bool {
    let parsed = Value::parse(init).ok();
    let line = parsed.as_ref().and_then(|init| init.get("candidate")?.as_str());
    line.is_some_and(is_clean)
}

fn is_clean(line: &str) -> bool {
    scrub_candidate(line).is_some_and(|clean| clean.split(' ').eq(line.split_ascii_whitespace()))
}

/// The addresses of the relays in a description.
fn relays(sdp: &str) -> Vec<&str> {
    let candidates = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    candidates
        .filter(|line| scrub_candidate(line).is_some())
        .filter_map(|line| line.split_ascii_whitespace().nth(ADDRESS))
        .collect()
}

/// Where in a line outside the candidates (`c=`, `o=`, `a=rtcp:`) the address begins that is last in it, if it is one
/// that says where we are.
fn foreign_address(line: &str, relays: &[&str]) -> Option<usize> {
    if !line.split(' ').any(|word| word == "IP4" || word == "IP6") {
        return None;
    }
    let at = line.trim_end().rfind(' ')? + 1;
    let address = line.get(at..)?.trim_end();
    let harmless = matches!(address, "0.0.0.0" | "::" | "127.0.0.1" | "::1");
    (!harmless && !relays.contains(&address)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str =
        "a=candidate:3 1 udp 41885439 203.0.113.9 61000 typ relay raddr 198.51.100.7 rport 5000 generation 0";
    const OTHERS: [&str; 3] = [
        "a=candidate:1 1 udp 2122260223 192.168.1.5 50000 typ host generation 0",
        "a=candidate:1 1 udp 2122260223 0b1c4d9e-uuid.local 50000 typ host generation 0",
        "a=candidate:2 1 udp 1686052607 198.51.100.7 50001 typ srflx raddr 192.168.1.5 rport 50000",
    ];

    fn description(connection: &str, candidates: &[&str]) -> String {
        let head =
            ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"];
        let lines = head.iter().chain([&connection]).chain(candidates).chain(&["a=mid:0"]);
        lines.flat_map(|line| [line, "\r\n"]).collect()
    }

    #[test]
    fn only_relays_are_left_and_what_is_behind_them_is_hidden() {
        let mut candidates = OTHERS.to_vec();
        candidates.push(RELAY);
        for connection in ["c=IN IP4 192.168.1.5", "c=IN IP4 203.0.113.9", "c=IN IP6 2001:db8::5"] {
            let sdp = description(connection, &candidates);
            assert!(!is_description(&sdp));
            let clean = scrub_description(&sdp);
            assert!(is_description(&clean), "{clean}");
            for secret in ["192.168.1.5", "198.51.100.7", ".local", "2001:db8", "5000 "] {
                assert!(!clean.contains(secret), "{secret} in {clean}");
            }
            assert!(clean.contains("203.0.113.9 61000 typ relay raddr 0.0.0.0 rport 0 generation 0\r\n"));
            assert!(clean.ends_with("a=mid:0\r\n"));
        }
        assert!(
            scrub_description(&description("c=IN IP4 203.0.113.9", &candidates))
                .contains("c=IN IP4 203.0.113.9\r\n")
        );
    }

    #[test]
    fn each_way_to_leak_is_refused() {
        let clean = "a=candidate:3 1 udp 41885439 203.0.113.9 61000 typ relay raddr 0.0.0.0 rport 0";
        assert!(is_description(&description("c=IN IP4 0.0.0.0", &[clean])));
        assert!(is_description(&description("c=IN IP4 203.0.113.9", &[clean])));
        assert!(is_description(&description("c=IN IP4 0.0.0.0", &[])));
        for other in OTHERS.iter().chain(&[RELAY, "a=candidate:", "a=candidate:1 1 udp 1 relay 1 typ"]) {
            assert!(!is_description(&description("c=IN IP4 0.0.0.0", &[clean, other])), "{other}");
        }
        assert!(!is_description(&description("c=IN IP4 198.51.100.7", &[clean])));
        assert!(!is_description(&description("a=rtcp:5000 IN IP4 198.51.100.7", &[clean])));
    }

    #[test]
    fn trickled_candidates_are_held_to_the_same() {
        let init = |line: &str| format!("{{\"candidate\":\"{line}\",\"sdpMid\":\"0\"}}");
        assert!(is_candidate(&init("candidate:3 1 udp 1 203.0.113.9 61000 typ relay raddr :: rport 0")));
        for line in OTHERS.iter().chain(&[RELAY]) {
            assert!(!is_candidate(&init(line.trim_start_matches("a="))), "{line}");
        }
        for other in ["", "candidate:3 typ relay", "{}", "{\"candidate\":7}"] {
            assert!(!is_candidate(other), "{other}");
        }
    }
}
