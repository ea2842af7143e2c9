//! The HTTP request that opens a connection, and the few answers it can get.

use std::net::IpAddr;

/// A request, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET` and the like.
    pub method: String,
    /// Without its query.
    pub path: String,
    /// `token` of its query: letters, digits and marks that need no escape.
    pub token: Option<String>,
    /// The page's origin.
    pub origin: Option<String>,
    /// Whether it asks for a WebSocket of version 13.
    pub upgrade: bool,
    /// `Sec-WebSocket-Key`.
    pub key: Option<String>,
    /// Every address in `X-Forwarded-For`, in order.
    pub forwarded_for: Vec<Option<IpAddr>>,
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<String>,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// Not the whole head.
    Incomplete,
    /// Not HTTP.
    Malformed,
    /// A request and the length of its head.
    Complete(Request, usize),
}

/// Parses a request head.
pub fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Head::Incomplete,
        Err(_) => return Head::Malformed,
    };
    let target = parsed.path.unwrap_or_default();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        token: token_of(target),
        ..Request::default()
    };
    let (mut connection, mut upgrade, mut version) = (false, false, false);
    for header in parsed.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else { continue };
        let value = value.trim();
        let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        match header.name.to_ascii_lowercase().as_str() {
            "connection" => connection |= has("upgrade"),
            "upgrade" => upgrade |= has("websocket"),
            "sec-websocket-version" => version |= value == "13",
            "sec-websocket-key" => request.key = Some(value.to_owned()),
            "origin" => request.origin = Some(value.to_owned()),
            "x-forwarded-for" => {
                request.forwarded_for.extend(value.split(',').map(|part| parse_address(part.trim())));
            }
            "authorization" => {
                request.bearer = value.strip_prefix("Bearer ").map(|token| token.trim().to_owned())
            }
            _ => {}
        }
    }
    request.upgrade = request.method == "GET" && connection && upgrade && version;
    Head::Complete(request, used)
}

/// The value of `token` in the query of a request target. `*` may come escaped: browsers leave it, other clients do not.
fn token_of(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    Some(value.replace("%2A", "*").replace("%2a", "*"))
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

impl Request {
    /// Whose connection this is, when it came through proxies that are believed: the last address that is not itself
    /// such a proxy. What stands further to the left may be invented by the client.
    pub fn client(&self, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
        let mut client = peer;
        for address in self.forwarded_for.iter().rev() {
            if !trusts(client) {
                break;
            }
            match address {
                Some(address) => client = *address,
                None => break,
            }
        }
        client
    }
}

/// The answer that opens a WebSocket.
pub fn write_upgrade(out: &mut Vec<u8>, accept: &str) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    out.extend_from_slice(format!("Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
}

/// A complete answer, after which the connection closes.
pub fn write_response(
    out: &mut Vec<u8>,
    status: &str,
    headers: &str,
    kind: &str,
    body: &str,
    head_only: bool,
) {
    out.extend_from_slice(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Connection: close\r\n{headers}\r\n",
            body.len()
        )
        .as_bytes(),
    );
    if !head_only {
        out.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /announce?x=1 HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: \
                           WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\nOrigin: https://a\r\n\r\n";

    #[test]
    fn an_upgrade_is_recognised_in_pieces() {
        for end in 0..UPGRADE.len() {
            assert_eq!(parse(&UPGRADE.as_bytes()[..end]), Head::Incomplete, "{end}");
        }
        let Head::Complete(request, used) = parse(UPGRADE.as_bytes()) else { panic!("incomplete") };
        assert_eq!(used, UPGRADE.len());
        assert!(request.upgrade);
        assert_eq!((request.path.as_str(), request.key.as_deref()), ("/announce", Some("abc")));
    }

    #[test]
    fn a_token_is_found_in_the_query() {
        for (target, token) in [
            ("/", None),
            ("/?", None),
            ("/a?x=1", None),
            ("/a?token=1.2.*.n.m", Some("1.2.*.n.m")),
            ("/a?x=1&token=1.2.%2A.n.m&y", Some("1.2.*.n.m")),
            ("/a?nottoken=1", None),
            ("/a?token=", Some("")),
        ] {
            let Head::Complete(request, _) = parse(UPGRADE.replace("/announce?x=1", target).as_bytes())
            else {
                panic!("{target}")
            };
            assert_eq!(request.token.as_deref(), token, "{target}");
        }
    }

    #[test]
    fn what_is_not_http_is_malformed() {
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01"), Head::Malformed);
        assert_eq!(parse(b"GET\0"), Head::Malformed);
    }

    #[test]
    fn only_believed_proxies_are_believed() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let trusts = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
        let client = |peer: &str, list: &str| {
            let request = Request {
                forwarded_for: list.split(',').map(|part| parse_address(part.trim())).collect(),
                ..Request::default()
            };
            request.client(peer.parse().unwrap(), trusts).to_string()
        };
        assert_eq!(client("9.9.9.9", "1.1.1.1"), "9.9.9.9");
        assert_eq!(client("10.0.0.1", "1.1.1.1, 2.2.2.2"), "2.2.2.2");
        assert_eq!(client("10.0.0.1", "1.1.1.1, 10.0.0.2"), "1.1.1.1");
        assert_eq!(client("10.0.0.1", "1.1.1.1, [2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(client("10.0.0.1", "junk"), proxy.to_string());
    }
}
