//! What each address may still do before its connections are known to the registry, and in bytes.

use std::net::IpAddr;

use hlswarm::time::{Span, Time};

use crate::config::LimitSettings;
use crate::registry::{Bucket, Prefix};

/// Lookups only: nothing depends on the order of the entries.
#[allow(clippy::disallowed_types)]
type Map<K, V> = std::collections::HashMap<K, V>;

/// Token buckets by address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    accepts: Map<Prefix, Bucket>,
    bytes: Map<Prefix, Bucket>,
}

impl Addresses {
    /// Whether one more connection of `ip` is taken now; if not, how long until then.
    pub(super) fn accept(&mut self, now: Time, ip: IpAddr, limits: &LimitSettings) -> Result<(), Span> {
        self.accepts.entry(Prefix::of(ip)).or_default().take(now, limits.accepts_per_ip())
    }

    /// Counts bytes of `ip`, and says for how long nothing more should be read of it.
    pub(super) fn charge(&mut self, now: Time, ip: IpAddr, limits: &LimitSettings, bytes: usize) -> Span {
        self.bytes.entry(Prefix::of(ip)).or_default().charge(now, limits.bytes_per_ip(), bytes as u64)
    }

    /// Forgets the addresses that have been quiet.
    pub(super) fn tick(&mut self, now: Time) {
        self.accepts.retain(|_, bucket| !bucket.is_full(now));
        self.bytes.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_share_and_quiet_ones_are_forgotten() {
        let limits = LimitSettings {
            accepts_per_ip_per_second: 2.0,
            accepts_per_ip_burst: 3,
            bytes_per_ip_per_second: 1000.0,
            bytes_per_ip_burst: 5000,
            ..LimitSettings::default()
        };
        let start = Time::from_millis(10_000);
        let mut addresses = Addresses::default();
        let taken = (0..10).filter(|_| addresses.accept(start, ip("192.0.2.1"), &limits).is_ok()).count();
        assert_eq!(taken, 3);
        // A /64 is one address.
        for last in 1..=3 {
            assert!(addresses.accept(start, ip(&format!("2001:db8::{last}")), &limits).is_ok());
        }
        assert_eq!(addresses.accept(start, ip("2001:db8::4"), &limits), Err(Span::from_millis(500)));
        assert!(addresses.accept(start, ip("2001:db8:0:1::1"), &limits).is_ok());
        assert_eq!(addresses.charge(start, ip("192.0.2.1"), &limits, 5000), Span::ZERO);
        assert_eq!(addresses.charge(start, ip("192.0.2.1"), &limits, 500), Span::from_millis(500));
        assert_eq!(addresses.charge(start, ip("192.0.2.2"), &limits, 500), Span::ZERO);
        addresses.tick(Time::from_millis(12_000));
        assert_eq!((addresses.accepts.len(), addresses.bytes.len()), (0, 1));
        addresses.tick(Time::from_millis(16_000));
        assert!(addresses.bytes.is_empty());
    }
}
