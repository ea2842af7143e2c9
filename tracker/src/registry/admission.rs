//! How many connections there may be. Its own machine, because several registries of one process share it.

use std::net::IpAddr;

use super::{Denied, Map};

/// What counts as one address: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

impl Prefix {
    /// The prefix of an address. IPv4 addresses mapped into IPv6 are IPv4 addresses.
    pub fn of(ip: IpAddr) -> Prefix {
        match ip.to_canonical() {
            // No global IPv6 prefix begins with these sixteen bits.
            IpAddr::V4(ip) => Prefix(0xffff_0000_0000_0000 | u64::from(u32::from(ip))),
            IpAddr::V6(ip) => Prefix((u128::from(ip) >> 64) as u64),
        }
    }
}

/// A neighbourhood: an IPv4 /24 or an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net(u64);

impl Net {
    /// As other registries carry it.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// The opposite of [`to_bits`](Net::to_bits).
    pub(crate) const fn from_bits(bits: u64) -> Net {
        Net(bits)
    }
}

/// Where an address is, by a database of the operator. Zeros: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Number of the autonomous system: whose network it is.
    pub asn: u32,
    /// The two letters of the country (ISO 3166-1), as a number.
    pub country: u16,
}

impl Prefix {
    /// As other registries carry it.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// The opposite of [`to_bits`](Prefix::to_bits).
    pub(crate) const fn from_bits(bits: u64) -> Prefix {
        Prefix(bits)
    }

    /// The neighbourhood that the address is in.
    pub const fn net(self) -> Net {
        match self.0 >> 48 {
            0xffff => Net(self.0 & !0xff),
            _ => Net(self.0 & !0xffff),
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostConnections {
    /// In all.
    pub all: usize,
    /// Per address.
    pub per_ip: usize,
    /// Per neighbourhood: somebody with an IPv6 /48 has 65,536 addresses.
    pub per_net: usize,
}

/// Counts connections, in all, per address and per neighbourhood.
#[derive(Debug, Default)]
pub struct Admission {
    per_ip: Map<Prefix, u32>,
    per_net: Map<Net, u32>,
    all: usize,
}

impl Admission {
    /// Takes a connection in, or says why not.
    pub fn enter(&mut self, ip: Prefix, most: MostConnections) -> Result<(), Denied> {
        if self.all >= most.all {
            return Err(Denied::Full);
        }
        let count = |open: Option<&u32>| open.map_or(0, |open| *open as usize);
        if count(self.per_ip.get(&ip)) >= most.per_ip || count(self.per_net.get(&ip.net())) >= most.per_net {
            return Err(Denied::Address);
        }
        *self.per_ip.entry(ip).or_default() += 1;
        *self.per_net.entry(ip.net()).or_default() += 1;
        self.all += 1;
        Ok(())
    }

    /// How many there are from an address.
    pub fn of(&self, ip: Prefix) -> usize {
        self.per_ip.get(&ip).map_or(0, |open| *open as usize)
    }

    /// A connection that was taken in is gone.
    pub fn leave(&mut self, ip: Prefix) {
        if !one_less(&mut self.per_ip, ip) {
            return;
        }
        one_less(&mut self.per_net, ip.net());
        self.all = self.all.saturating_sub(1);
    }
}

/// Counts one less, and forgets what is down to nothing. Whether there was one.
fn one_less<K: Eq + std::hash::Hash>(counts: &mut Map<K, u32>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(&key);
    }
    true
}
