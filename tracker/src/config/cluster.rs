//! The settings of a cluster.

use super::ConfigError;
use super::settings::settings;

settings! {
    /// Several trackers as one: their viewers meet, whichever they are connected to. Read at the start only.
    pub struct ClusterSettings {
        /// NATS servers that the trackers talk over, e.g. ["nats://10.0.0.1:4222"]; with a name and password
        /// ("nats://NAME:PASSWORD@...") or a token ("nats://TOKEN@...") if the servers want one; "tls://" for TLS.
        /// Empty: this tracker is on its own.
        urls: Vec<String> = Vec::new(),
        /// Name of the cluster: letters, digits, - and _. Trackers with the same name on the same servers are one.
        name: String = "hlswarm".into(),
        /// PEM file with the certificates that servers with "tls://" are checked against. Empty: the system's.
        ca_file: String = String::new(),
    }
}

impl ClusterSettings {
    /// Whether there are to be other trackers.
    pub fn is_on(&self) -> bool {
        !self.urls.is_empty()
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let name_fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(name_fits) {
            let allowed = "1 to 64 letters, digits, - and _";
            return Err(ConfigError::value("cluster.name", format_args!("{:?}", self.name), allowed));
        }
        for (place, url) in self.urls.iter().enumerate() {
            let rest = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
            let host = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
            if host.is_none_or(|host| host.is_empty() || host.starts_with(':') || host.contains(['/', ' '])) {
                return Err(ConfigError::value(
                    &format!("cluster.urls[{place}]"),
                    format_args!("{:?}", hide_password(url)),
                    "\"nats://HOST:PORT\" or \"tls://HOST:PORT\", with NAME:PASSWORD@ or TOKEN@ before the host if need be",
                ));
            }
        }
        if !self.urls.is_empty() && cfg!(not(feature = "nats")) {
            return Err(ConfigError::value("cluster.urls", "set", "[]: this program was built without NATS"));
        }
        Ok(())
    }
}

/// A URL without what must not get into logs.
pub(crate) fn hide_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(urls: &[&str], name: &str) -> Option<String> {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        let settings = ClusterSettings { urls, name: name.into(), ca_file: String::new() };
        settings.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn urls_and_names_are_checked() {
        let good = ["nats://a:4222", "nats://a", "tls://u:p@a:1", "nats://token@[::1]:4222"];
        assert_eq!(problem(&good, "my-Cluster_1"), None);
        for bad in
            ["a:4222", "http://a:4222", "nats://", "nats://:4222", "nats://u:p@", "nats://a/b", "nats://a b"]
        {
            let told = problem(&["nats://a", bad], "x").unwrap_or_default();
            assert!(told.starts_with("cluster.urls[1] is \""), "{bad}: {told}");
        }
        for bad in ["", "a.b", "a b", "a*", "ä"] {
            let told = problem(&[], bad).unwrap_or_default();
            assert!(told.starts_with("cluster.name is \""), "{bad}: {told}");
        }
        assert!(!problem(&["http://u:secret@a:1"], "x").unwrap_or_default().contains("secret"));
    }
}
