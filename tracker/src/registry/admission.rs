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

impl Prefix {
    /// The neighbourhood that the address is in.
    pub const fn net(self) -> Net {
        match self.0 >> 48 {
            0xffff => Net(self.0 & !0xff),
            _ => Net(self.0 & !0xffff),
        }
    }
}

/// Counts connections, in all and per address.
#[derive(Debug, Default)]
pub struct Admission {
    per_ip: Map<Prefix, u32>,
    all: usize,
}

impl Admission {
    /// Takes a connection in, or says why not.
    pub fn enter(&mut self, ip: Prefix, most: usize, most_per_ip: usize) -> Result<(), Denied> {
        if self.all >= most {
            return Err(Denied::Full);
        }
        let open = self.per_ip.entry(ip).or_default();
        if *open as usize >= most_per_ip {
            return Err(Denied::Address);
        }
        *open += 1;
        self.all += 1;
        Ok(())
    }

    /// A connection that was taken in is gone.
    pub fn leave(&mut self, ip: Prefix) {
        let Some(open) = self.per_ip.get_mut(&ip) else { return };
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.per_ip.remove(&ip);
        }
        self.all = self.all.saturating_sub(1);
    }
}
