//! Who may connect, which swarms are served, which proxies are believed: read from the settings, checked, ready to use.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use hlswarm::id::Id20;

use super::{Config, ConfigError};
use crate::registry::{MIN_SECRET_BYTES, Secrets};

/// The lists of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Pages that may connect.
    pub origins: OriginList,
    /// Swarms that are served; `None`: all.
    pub info_hashes: Option<BTreeSet<Id20>>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Secrets of access tokens; none: tokens are not asked for.
    pub secrets: Secrets,
}

impl Lists {
    /// Reads the lists that `config` names.
    pub fn read(config: &Config) -> Result<Lists, ConfigError> {
        let mut info_hashes = BTreeSet::new();
        for text in &config.access.info_hashes {
            info_hashes.insert(parse_info_hash("access.info_hashes", text)?);
        }
        let file = &config.access.info_hash_file;
        for line in read_lines(file)? {
            info_hashes.insert(parse_info_hash(file, &line)?);
        }
        let all = config.access.info_hashes.is_empty() && file.is_empty();
        let proxies = config.server.trusted_proxies.iter().map(|text| Network::parse(text));
        Ok(Lists {
            origins: OriginList::parse(&config.access.origins)?,
            info_hashes: (!all).then_some(info_hashes),
            trusted_proxies: proxies.collect::<Result<_, _>>()?,
            secrets: read_secrets(&config.access.token_secrets, &config.access.token_secret_file)?,
        })
    }

    /// Whether `ip` is a proxy that is believed.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(ip))
    }
}

/// The lines of a file that say something; none without a file.
fn read_lines(file: &str) -> Result<Vec<String>, ConfigError> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| ConfigError::File { path: Path::new(file).to_owned(), error })?;
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Reads secrets from a list and a file. What is wrong with one is told without showing it.
pub fn read_secrets(listed: &[String], file: &str) -> Result<Secrets, ConfigError> {
    let mut secrets = listed.to_vec();
    secrets.extend(read_lines(file)?);
    Secrets::new(secrets.into_iter().map(String::into_bytes).collect()).map_err(|place| {
        let (field, entry) = match place.checked_sub(listed.len()) {
            None => ("access.token_secrets", place + 1),
            Some(line) => (file, line + 1),
        };
        let allowed = format_args!("secrets of at least {MIN_SECRET_BYTES} characters");
        ConfigError::value(field, format_args!("too short at its entry {entry}"), allowed)
    })
}

/// Reads an info_hash: 20 characters or 40 hex digits. `field` is named when it is neither.
pub fn parse_info_hash(field: &str, text: &str) -> Result<Id20, ConfigError> {
    let hex = || {
        let mut id = [0; 20];
        if text.len() != 40 {
            return None;
        }
        for (place, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Id20(id))
    };
    hex()
        .or_else(|| Id20::from_latin1(text))
        .ok_or_else(|| ConfigError::value(field, format_args!("{text:?}"), "20 characters or 40 hex digits"))
}

/// Pages that may connect, by origin. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct OriginList {
    exact: BTreeSet<String>,
    /// `https://*.example.com` as scheme (`https://`) and suffix (`.example.com`).
    subdomains: Vec<(String, String)>,
}

impl OriginList {
    /// Reads a list of origins.
    pub fn parse(origins: &[String]) -> Result<OriginList, ConfigError> {
        let mut list = OriginList::default();
        for origin in origins {
            let lower = origin.to_ascii_lowercase();
            let Some((scheme, host)) = lower.split_once("://").filter(|(_, host)| !host.is_empty()) else {
                return Err(not_an_origin(origin));
            };
            match host.strip_prefix("*.") {
                _ if host.contains('/') => return Err(not_an_origin(origin)),
                Some(parent) if !parent.contains('*') => {
                    list.subdomains.push((format!("{scheme}://"), format!(".{parent}")));
                }
                None if !host.contains('*') => {
                    list.exact.insert(lower);
                }
                _ => return Err(not_an_origin(origin)),
            }
        }
        Ok(list)
    }

    /// Whether a page of this origin may connect. Clients that are no page send none.
    pub fn allows(&self, origin: Option<&str>) -> bool {
        if self.exact.is_empty() && self.subdomains.is_empty() {
            return true;
        }
        let Some(origin) = origin else { return false };
        let origin = origin.to_ascii_lowercase();
        self.exact.contains(&origin)
            || self.subdomains.iter().any(|(scheme, suffix)| {
                origin.strip_prefix(scheme.as_str()).is_some_and(|host| {
                    host.len() > suffix.len() && host.ends_with(suffix.as_str()) && !host.contains('/')
                })
            })
    }
}

fn not_an_origin(origin: &str) -> ConfigError {
    ConfigError::value(
        "access.origins",
        format_args!("{origin:?}"),
        "\"https://host\", \"https://host:port\" or \"https://*.host\", without a path",
    )
}

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    pub fn parse(text: &str) -> Result<Network, ConfigError> {
        let wrong = || {
            ConfigError::value(
                "server.trusted_proxies",
                format_args!("{text:?}"),
                "an IP address or a network as ADDRESS/BITS",
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Network { address, bits })
    }

    /// Whether `ip` is in it.
    pub fn contains(self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                (u64::from(u32::from(own)) >> shift) == (u64::from(u32::from(ip)) >> shift)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (u128::from(own) & mask) == (u128::from(ip) & mask)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(origins: &[&str]) -> Result<OriginList, ConfigError> {
        OriginList::parse(&origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn origins_are_matched_whole() {
        let origins = list(&["https://Example.com", "https://*.cdn.example:8443"]).unwrap();
        for (origin, allowed) in [
            (Some("https://example.com"), true),
            (Some("HTTPS://EXAMPLE.COM"), true),
            (Some("http://example.com"), false),
            (Some("https://example.com.evil"), false),
            (Some("https://a.cdn.example:8443"), true),
            (Some("https://cdn.example:8443"), false),
            (Some("https://evilcdn.example:8443"), false),
            (Some("null"), false),
            (None, false),
        ] {
            assert_eq!(origins.allows(origin), allowed, "{origin:?}");
        }
        assert!(list(&[]).unwrap().allows(None));
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for wrong in ["example.com", "https://", "https://a/b", "https://*", "https://a.*.b"] {
            let error = list(&[wrong]).unwrap_err().to_string();
            assert!(error.contains("access.origins") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn networks_contain_what_they_should() {
        let contains =
            |network: &str, ip: &str| Network::parse(network).unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.1.2") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "9.9.9.9") && contains("::/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::") && !contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("127.0.0.1", "::ffff:127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/b"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn info_hashes_are_text_or_hex() {
        assert_eq!(parse_info_hash("f", "aEnMPupzZeID9k+gkk5Y").unwrap().0, *b"aEnMPupzZeID9k+gkk5Y");
        assert_eq!(parse_info_hash("f", &"ff".repeat(20)).unwrap().0, [255; 20]);
        assert!(parse_info_hash("f", "too short").is_err());
    }
}
