//! Access tokens: who may join which swarm, until when. A web server mints them with a secret that it shares with the
//! tracker; the tracker keeps nothing of them but how many connections use each.
//!
//! A token is `1.EXPIRY.SCOPE.NONCE.MAC`: the moment until which it is good, in seconds since 1970; the info_hash as 40 hex
//! digits, or `*` for any; 8 to 64 letters, digits, `-` and `_` that no other token has; and HMAC-SHA-256 (RFC 2104) of
//! everything before its dot, `1.EXPIRY.SCOPE.NONCE`, as 64 hex digits.

use std::fmt;
use std::hash::Hasher;

use hlswarm::id::{Id20, SwarmId};
use hlswarm::time::{Span, Time};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::conn::ConnId;
use super::{Map, Registry};
use crate::protocol::{Announce, Refusal};

/// Longest token that is looked at, in bytes.
const MAX_BYTES: usize = 256;
/// Shortest secret, in bytes: shorter ones can be guessed.
pub const MIN_SECRET_BYTES: usize = 16;
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

/// The secrets that tokens may be made with: several, so that one can follow another.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// Why a token does not open a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is no token.
    Malformed,
    /// It was made with another secret, or changed.
    Forged,
    /// Its time is over.
    Expired {
        /// For how many seconds.
        for_s: u64,
    },
    /// It is good for another swarm.
    OtherSwarm,
    /// As many connections use it as may.
    InUse {
        /// The bound.
        allowed: usize,
    },
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFault::Missing => {
                f.write_str("token is missing; this tracker serves only those who have one")
            }
            TokenFault::Malformed => f.write_str("token is malformed; allowed is 1.EXPIRY.SCOPE.NONCE.MAC"),
            TokenFault::Forged => f.write_str("token is not one of this tracker's"),
            TokenFault::Expired { for_s } => write!(f, "token expired {for_s} s ago"),
            TokenFault::OtherSwarm => f.write_str("token is for another info_hash"),
            TokenFault::InUse { allowed } => {
                write!(f, "token is used by {allowed} connections, as many as are allowed")
            }
        }
    }
}

/// What a good token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim<'a> {
    /// Tells it from all others.
    pub(crate) nonce: &'a str,
}

impl Secrets {
    /// Takes secrets, of which the first is minted with.
    ///
    /// # Errors
    /// Gives the place of one that is shorter than [`MIN_SECRET_BYTES`].
    pub fn new(secrets: Vec<Vec<u8>>) -> Result<Secrets, usize> {
        match secrets.iter().position(|secret| secret.len() < MIN_SECRET_BYTES) {
            Some(place) => Err(place),
            None => Ok(Secrets(secrets)),
        }
    }

    /// Whether there is none: then no token is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a token for `swarm`, or for any, that is good until `expires_s` seconds after 1970. `None` without a secret
    /// or when the nonce is none.
    pub fn mint(&self, swarm: Option<SwarmId>, expires_s: u64, nonce: &str) -> Option<String> {
        let secret = self.0.first()?;
        let scope = swarm.map_or("*".to_owned(), |swarm| hex(&swarm.0.0));
        let claim = is_nonce(nonce).then(|| format!("1.{expires_s}.{scope}.{nonce}"))?;
        let mac = mac(secret, claim.as_bytes())?.finalize().into_bytes();
        Some(format!("{claim}.{}", hex(&mac)))
    }

    /// Checks a token against a swarm at `now_s` seconds after 1970.
    pub(crate) fn check<'a>(
        &self,
        token: Option<&'a str>,
        swarm: SwarmId,
        now_s: u64,
    ) -> Result<Claim<'a>, TokenFault> {
        let token = token.filter(|token| !token.is_empty()).ok_or(TokenFault::Missing)?;
        let (claim, mac_hex) =
            token.rsplit_once('.').filter(|_| token.len() <= MAX_BYTES).ok_or(TokenFault::Malformed)?;
        let mut parts = claim.split('.');
        let (Some("1"), Some(expires), Some(scope), Some(nonce), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Malformed);
        };
        let expires_s = expires.parse::<u64>().map_err(|_| TokenFault::Malformed)?;
        let scope = match scope {
            "*" => None,
            hex => Some(unhex::<20>(hex).ok_or(TokenFault::Malformed)?),
        };
        let expected = unhex::<32>(mac_hex).ok_or(TokenFault::Malformed)?;
        if !is_nonce(nonce) {
            return Err(TokenFault::Malformed);
        }
        // `verify_slice` takes the same time whatever differs.
        let good = |secret: &Vec<u8>| {
            mac(secret, claim.as_bytes()).is_some_and(|mac| mac.verify_slice(&expected).is_ok())
        };
        if !self.0.iter().any(good) {
            return Err(TokenFault::Forged);
        }
        if expires_s <= now_s {
            return Err(TokenFault::Expired { for_s: now_s - expires_s });
        }
        if scope.is_some_and(|scope| SwarmId(Id20(scope)) != swarm) {
            return Err(TokenFault::OtherSwarm);
        }
        Ok(Claim { nonce })
    }
}

/// What the registry asks of tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    secrets: Secrets,
    /// Connections that may be in a swarm by one token at the same time.
    connections: usize,
    /// The time since 1970 at [`Time::ZERO`]: not in whole seconds, or a token would outlive its last one.
    epoch: Span,
    /// How many memberships there are by each token.
    used: Map<u64, u32>,
}

impl Tokens {
    pub(super) fn are_asked_for(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// A membership by this token is over.
    pub(super) fn free(&mut self, key: u64) {
        if let Some(count) = self.used.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.used.remove(&key);
            }
        }
    }

    /// A membership goes by this token from now on, and no more by the one before.
    pub(super) fn switch(&mut self, before: u64, key: u64) {
        if before == key {
            return;
        }
        self.free(before);
        if key != 0 {
            *self.used.entry(key).or_default() += 1;
        }
    }
}

impl Registry {
    /// Serves only those with a token of one of `secrets` from now on, or everybody if there are none. At most
    /// `connections` may be in a swarm by the same token; zero is no limit. Members that are there stay until they announce.
    pub fn set_tokens(&mut self, secrets: Secrets, connections: usize) {
        self.tokens.secrets = secrets;
        self.tokens.connections = if connections == 0 { usize::MAX } else { connections };
    }

    /// Tells the time of day, since 1970: tokens expire by it.
    pub fn set_unix_time(&mut self, now: Time, since_1970: Span) {
        self.tokens.epoch = since_1970.saturating_sub(Span::from_micros(now.as_micros()));
    }

    /// A connection came with a token in its URL. One in an announce goes before it.
    pub fn set_token(&mut self, conn: ConnId, token: &str) {
        if let Some(state) = self.conns.get_mut(conn)
            && token.len() <= MAX_BYTES
            && self.tokens.are_asked_for()
        {
            state.token = Some(token.into());
        }
    }

    /// Checks the token of an announce. Gives what stands for it in a membership; 0 if none is asked for.
    pub(super) fn check_token(
        &self,
        now: Time,
        conn: ConnId,
        announce: &Announce<'_>,
    ) -> Result<u64, Refusal> {
        if !self.tokens.are_asked_for() {
            return Ok(0);
        }
        let swarm = announce.member.swarm;
        let Some(state) = self.conns.get(conn) else { return Err(Refusal::Full) };
        let in_message = announce.token.map(|token| token.decode().unwrap_or_default());
        let token = in_message.as_deref().or(state.token.as_deref());
        let now_s = (self.tokens.epoch + Span::from_micros(now.as_micros())).as_secs();
        let claim = self.tokens.secrets.check(token, swarm, now_s).map_err(Refusal::Token)?;
        let mut hasher = self.keyed_hasher();
        hasher.write(&swarm.0.0);
        hasher.write(claim.nonce.as_bytes());
        let key = hasher.finish().max(1);
        let has_it = state.membership(swarm).is_some_and(|own| own.token == key);
        let used = self.tokens.used.get(&key).map_or(0, |count| *count as usize);
        if !has_it && used >= self.tokens.connections {
            return Err(Refusal::Token(TokenFault::InUse { allowed: self.tokens.connections }));
        }
        Ok(key)
    }
}

fn mac(secret: &[u8], claim: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(claim);
    Some(mac)
}

fn is_nonce(nonce: &str) -> bool {
    NONCE_CHARS.contains(&nonce.len())
        && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn secrets(list: &[&str]) -> Secrets {
        Secrets::new(list.iter().map(|secret| secret.as_bytes().to_vec()).collect()).unwrap()
    }

    fn swarm() -> SwarmId {
        SwarmId(Id20(*b"swarm-of-twenty-byte"))
    }

    /// The vectors of docs/tracker.md, for those who mint in another language.
    #[test]
    fn the_documented_vectors() {
        let secrets = secrets(&["a secret of the web server"]);
        let docs = include_str!("../../../docs/tracker.md");
        for (scope, expected) in [(Some(swarm()), VECTOR_ONE), (None, VECTOR_ANY)] {
            let token = secrets.mint(scope, 1_900_000_000, "nonce-01").unwrap();
            assert_eq!(token, expected);
            assert!(docs.contains(expected), "docs/tracker.md does not show {expected}");
            assert_eq!(secrets.check(Some(&token), swarm(), NOW_S), Ok(Claim { nonce: "nonce-01" }));
        }
    }

    const VECTOR_ONE: &str = "1.1900000000.737761726d2d6f662d7477656e74792d62797465.nonce-01.a3f5ced9bcce2f538c7ca5c4b941efce6486925855c7a5e20bd8bdebebba4bf9";
    const VECTOR_ANY: &str =
        "1.1900000000.*.nonce-01.5964a55689931f3905a6920b16bb1d869362d423bfc8c963938963516c8b7da6";

    #[test]
    fn only_the_very_token_opens_only_its_swarm_until_its_time() {
        let own = secrets(&["a secret of the web server"]);
        let token = own.mint(Some(swarm()), NOW_S + 10, "nonce-01").unwrap();
        let check = |token: &str, now_s| own.check(Some(token), swarm(), now_s).map(|_| ());
        assert_eq!(check(&token, NOW_S + 9), Ok(()));
        assert_eq!(check(&token, NOW_S + 10), Err(TokenFault::Expired { for_s: 0 }));
        assert_eq!(check(&token, NOW_S + 70), Err(TokenFault::Expired { for_s: 60 }));
        let other = SwarmId(Id20(*b"another-swarm-of-20-"));
        assert_eq!(own.check(Some(&token), other, NOW_S), Err(TokenFault::OtherSwarm));
        let any = own.mint(None, NOW_S + 10, "nonce-02").unwrap();
        assert!(own.check(Some(&any), other, NOW_S).is_ok());
        assert_eq!(own.check(None, swarm(), NOW_S), Err(TokenFault::Missing));
        assert_eq!(check("", NOW_S), Err(TokenFault::Missing));
        // Every change of a character is noticed.
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            let fault = check(&changed, NOW_S).unwrap_err();
            assert!(matches!(fault, TokenFault::Forged | TokenFault::Malformed), "{changed}: {fault}");
        }
        for odd in ["1", "1.2.3.4.5", "....", &"1.".repeat(200), "1.9.*.nonce-01.", &token[..token.len() - 1]]
        {
            assert_eq!(check(odd, NOW_S), Err(TokenFault::Malformed), "{odd}");
        }
    }

    #[test]
    fn one_secret_follows_another() {
        let (old, new) = ("the secret until today", "the secret from now on");
        let token = secrets(&[old]).mint(None, NOW_S + 10, "nonce-01").unwrap();
        let check = |list: &[&str]| secrets(list).check(Some(&token), swarm(), NOW_S).map(|_| ());
        assert_eq!(check(&[new, old]), Ok(()));
        assert_eq!(check(&[new]), Err(TokenFault::Forged));
        assert_eq!(Secrets::new(vec![b"long enough for this".to_vec(), b"short".to_vec()]), Err(1));
        assert_eq!(format!("{:?}", secrets(&[old])), "1 secrets", "secrets are not shown");
    }
}
