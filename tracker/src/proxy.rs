//! The PROXY protocol, version 2: how load balancers pass on whose connection it is.
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HEAD_BYTES: usize = 16;
/// Longest header that is taken; addresses and TLVs of real balancers need far less.
const MAX_BYTES: usize = 1024;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More bytes are needed.
    Incomplete,
    /// Not a header.
    Malformed,
    /// A header.
    Complete {
        /// Whose connection it is; `None` for the balancer's own health checks.
        client: Option<IpAddr>,
        /// The header's length.
        bytes: usize,
    },
}

/// Parses a header.
pub fn parse(input: &[u8]) -> ProxyHeader {
    let known = input.len().min(SIGNATURE.len());
    if input.get(..known) != SIGNATURE.get(..known) {
        return ProxyHeader::Malformed;
    }
    let Some(&[command, family, high, low]) = input.get(12..HEAD_BYTES).and_then(|head| head.first_chunk())
    else {
        return ProxyHeader::Incomplete;
    };
    let bytes = HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if bytes > MAX_BYTES || command >> 4 != 2 {
        return ProxyHeader::Malformed;
    }
    let Some(addresses) = input.get(HEAD_BYTES..bytes) else { return ProxyHeader::Incomplete };
    let client = match (command & 0x0f, family >> 4) {
        (0, _) => None,
        (1, 1) => match addresses.first_chunk::<4>().filter(|_| addresses.len() >= 12) {
            Some(address) => Some(IpAddr::from(Ipv4Addr::from(*address))),
            None => return ProxyHeader::Malformed,
        },
        (1, 2) => match addresses.first_chunk::<16>().filter(|_| addresses.len() >= 36) {
            Some(address) => Some(IpAddr::from(Ipv6Addr::from(*address)).to_canonical()),
            None => return ProxyHeader::Malformed,
        },
        (1, _) => None,
        _ => return ProxyHeader::Malformed,
    };
    ProxyHeader::Complete { client, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((addresses.len() as u16).to_be_bytes());
        bytes.extend(addresses);
        bytes
    }

    #[test]
    fn addresses_are_read_in_pieces() {
        let v4 = header(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 3, 4, 0xff, 0, 1, 9]);
        for end in 0..v4.len() {
            assert_eq!(parse(&v4[..end]), ProxyHeader::Incomplete, "{end}");
        }
        let client = Some("192.0.2.7".parse().unwrap());
        assert_eq!(parse(&v4), ProxyHeader::Complete { client, bytes: v4.len() });
        let mut ends = [0; 36];
        ends[..16].copy_from_slice(&"2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
        let v6 = header(0x21, 0x21, &ends);
        let client = Some("2001:db8::5".parse().unwrap());
        assert_eq!(parse(&v6), ProxyHeader::Complete { client, bytes: v6.len() });
        let local = header(0x20, 0, &[]);
        assert_eq!(parse(&local), ProxyHeader::Complete { client: None, bytes: 16 });
    }

    #[test]
    fn what_is_no_header_is_malformed() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), ProxyHeader::Malformed);
        assert_eq!(parse(&header(0x11, 0x11, &[0; 12])), ProxyHeader::Malformed);
        assert_eq!(parse(&header(0x22, 0x11, &[0; 12])), ProxyHeader::Malformed);
        assert_eq!(parse(&header(0x21, 0x11, &[0; 11])), ProxyHeader::Malformed);
        assert_eq!(parse(&header(0x21, 0x11, &[0; 1009])), ProxyHeader::Malformed);
    }
}
