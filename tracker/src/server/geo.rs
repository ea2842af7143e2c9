//! Databases that tell the network and the country of an address.
//! Format: <https://maxmind.github.io/MaxMind-DB/>

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::Reader;
use serde::Deserialize;

use crate::config::ConfigError;
use crate::registry::Region;

/// The databases of one configuration.
#[derive(Default)]
pub(super) struct Geo(Vec<Reader<Vec<u8>>>);

impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} databases", self.0.len())
    }
}

/// What is read of an entry: the keys of MaxMind's own databases.
#[derive(Deserialize)]
struct Entry<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    country: Option<Country<'a>>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

impl Geo {
    /// Reads the databases into memory.
    pub(super) fn open(files: &[String]) -> Result<Geo, ConfigError> {
        let mut readers = Vec::new();
        for file in files {
            let path = Path::new(file);
            let bytes =
                std::fs::read(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
            let reader = Reader::from_source(bytes).map_err(|error| {
                ConfigError::value(
                    "matching.databases",
                    format_args!("{file:?}"),
                    format_args!("a database in MaxMind's format ({error})"),
                )
            })?;
            readers.push(reader);
        }
        Ok(Geo(readers))
    }

    /// Where an address is, as far as the databases tell. What they tell first counts.
    pub(super) fn region(&self, ip: IpAddr) -> Region {
        let mut region = Region::default();
        for reader in &self.0 {
            // An address that is not in the file, or an entry of another kind, tells nothing.
            let entry = reader.lookup(ip).ok().and_then(|found| found.decode::<Entry<'_>>().ok().flatten());
            let Some(entry) = entry else { continue };
            if region.asn == 0 {
                region.asn = entry.autonomous_system_number.unwrap_or_default();
            }
            let code = entry.country.and_then(|country| country.iso_code).map(str::as_bytes);
            if let (0, Some(&[first, second])) = (region.country, code) {
                region.country = u16::from_be_bytes([first, second]);
            }
        }
        region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_named() {
        let error = Geo::open(&["/nonexistent.mmdb".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent.mmdb: "), "{error}");
        let error = Geo::open(&[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()]).unwrap_err();
        assert!(error.to_string().starts_with("matching.databases is \""), "{error}");
    }
}
