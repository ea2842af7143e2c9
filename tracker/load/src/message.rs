//! Messages, written and read with as little work as possible: the generator must not be what is measured.

use memchr::memmem;

/// Writes client frames with a mask of zeros, which leaves the payload as it is.
pub(crate) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x81);
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=65_535 => {
            out.push(0xfe);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0xff);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend_from_slice(payload);
}

/// The name of the swarm that client `number` is in.
pub(crate) fn swarm(number: usize, swarm_size: usize) -> String {
    format!("load-swarm-{:09}", number / swarm_size)
}

/// The peer id of client `number`.
pub(crate) fn peer(number: usize) -> String {
    format!("-LD0001-{number:012}")
}

/// Text that looks like a session description of a given length.
pub(crate) fn description(bytes: usize) -> String {
    const LINE: &str = "a=candidate:1 1 udp 2113937151 192.0.2.123 54321 typ host generation 0\\r\\n";
    let mut text = "v=0\\r\\no=- 1 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\n".to_owned();
    for _ in 0..6 {
        text.push_str(LINE);
    }
    while text.len() < bytes {
        text.push_str("a=rtpmap:96 VP8/90000\\r\\n");
    }
    let mut end = bytes.min(text.len());
    // Not in the middle of an escape.
    while text.as_bytes().get(end.wrapping_sub(1)) == Some(&b'\\') {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// An announce. Offer ids carry `stamp`, so that an answer tells when its offer was sent.
pub(crate) fn announce(
    number: usize,
    swarm_size: usize,
    offers: usize,
    stamp: u64,
    description: &str,
) -> String {
    announce_in(&swarm(number, swarm_size), number, 1, offers, stamp, description)
}

/// An announce of client `number` in a named swarm, with so much left to download.
pub(crate) fn announce_in(
    swarm: &str,
    number: usize,
    left: u64,
    offers: usize,
    stamp: u64,
    description: &str,
) -> String {
    let mut text = format!(
        "{{\"action\":\"announce\",\"info_hash\":\"{swarm}\",\"peer_id\":\"{}\",\"numwant\":{offers},\"uploaded\":0,\
         \"downloaded\":0,\"left\":{left},\"offers\":[",
        peer(number)
    );
    for place in 0..offers {
        if place > 0 {
            text.push(',');
        }
        text.push_str("{\"offer\":{\"type\":\"offer\",\"sdp\":\"");
        text.push_str(description);
        text.push_str(&format!("\"}},\"offer_id\":\"{stamp:018}{place:02}\"}}"));
    }
    text.push_str("]}");
    text
}

/// What came from the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Reply,
    Failure,
    Offer {
        offer_id: &'a str,
        peer: &'a str,
    },
    /// The stamp of the offer it answers.
    Answer {
        stamp: u64,
    },
}

/// Tells what a message is.
pub(crate) fn read(text: &[u8]) -> Option<Received<'_>> {
    let id = |name: &str| {
        let at = memmem::find(text, name.as_bytes())? + name.len();
        let rest = text.get(at..)?;
        std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
    };
    if memmem::find(text, b"\"failure reason\"").is_some() {
        return Some(Received::Failure);
    }
    // Session descriptions contain no quotes, so that these cannot be found inside one.
    if memmem::find(text, b"\"answer\":").is_some() {
        return Some(Received::Answer { stamp: id("\"offer_id\":\"")?.get(..18)?.parse().ok()? });
    }
    if memmem::find(text, b"\"offer\":").is_some() {
        return Some(Received::Offer { offer_id: id("\"offer_id\":\"")?, peer: id("\"peer_id\":\"")? });
    }
    memmem::find(text, b"\"interval\":").map(|_| Received::Reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_is_json_of_the_right_size() {
        let text = announce(7, 5, 2, 123, &description(1400));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["info_hash"].as_str().unwrap().len(), 20);
        assert_eq!(value["peer_id"].as_str().unwrap().len(), 20);
        assert_eq!(value["offers"][1]["offer_id"], "00000000000000012301");
        assert!(text.len() > 2 * 1390);
    }

    #[test]
    fn messages_are_told_apart() {
        assert_eq!(read(b"{\"interval\":120}"), Some(Received::Reply));
        assert_eq!(read(b"{\"failure reason\":\"\"}"), Some(Received::Failure));
        assert_eq!(
            read(b"{\"offer\":{},\"offer_id\":\"00000000000000012301\",\"peer_id\":\"p\"}"),
            Some(Received::Offer { offer_id: "00000000000000012301", peer: "p" })
        );
        assert_eq!(
            read(b"{\"answer\":{},\"offer_id\":\"00000000000000012301\"}"),
            Some(Received::Answer { stamp: 123 })
        );
        assert_eq!(read(b"{}"), None);
    }
}
