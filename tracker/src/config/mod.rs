//! The settings of the binary: a TOML file whose sample is written from these very structs
//! (`hlswarm-tracker --print-config`).

mod cluster;
mod limits;
mod lists;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;
pub use cluster::ClusterSettings;
#[cfg(feature = "nats")]
pub(crate) use cluster::hide_password;
pub use limits::LimitSettings;
pub use lists::{Lists, OriginList, parse_info_hash, read_secrets};
use settings::{Sample, settings};

settings! {
    /// Where and how to listen.
    pub struct ServerSettings {
        /// Where viewers connect: "ADDR:PORT" (TLS when [tls] names a certificate), "ws://ADDR:PORT", "wss://ADDR:PORT"
        /// or "unix:/path". Port 0 takes a free port; the bound addresses are printed.
        listen: Vec<String> = vec!["127.0.0.1:8000".into()],
        /// Where /healthz, /readyz, /metrics and /stats.json are served. Empty: on every `listen` address.
        admin_listen: Vec<String> = Vec::new(),
        /// Threads that serve connections, each on a core of its own. They share the listening addresses, and their
        /// viewers meet as if they were one. 0: one for each core.
        workers: usize = 1,
        /// On SIGTERM: connections are closed spread over this many seconds, so that clients do not all come back in the
        /// same moment. SIGINT closes at once.
        drain_secs: u64 = 10,
        /// Whether another tracker may already listen on the same addresses. For a restart without a gap: start the new
        /// one with this set, then send SIGTERM to the old one.
        take_over: bool = false,
        /// Proxies whose X-Forwarded-For header is believed: addresses or networks, e.g. "10.0.0.0/8".
        trusted_proxies: Vec<String> = Vec::new(),
        /// Whether every connection begins with a PROXY protocol v2 header, as load balancers send it. A connection
        /// without one is then refused.
        proxy_protocol: bool = false,
        /// Whoever sends this token ("Authorization: Bearer TOKEN") sees info_hashes in /stats.json. Empty: nobody does.
        admin_token: String = String::new(),
    }
}

settings! {
    /// TLS. Both files are read again on SIGHUP.
    pub struct TlsSettings {
        /// PEM file with the certificate chain. Empty: no TLS. P-256 keys make the cheapest handshakes.
        certificate: String = String::new(),
        /// PEM file with the private key.
        key: String = String::new(),
    }
}

settings! {
    /// Whom to serve. Read again on SIGHUP; connections and members that are there stay.
    pub struct AccessSettings {
        /// Pages that may connect, by origin: "https://example.com", or "https://*.example.com" for all its subdomains.
        /// Empty: all.
        origins: Vec<String> = Vec::new(),
        /// Swarms that are served, as 20 characters or 40 hex digits. Empty, and no file: all.
        info_hashes: Vec<String> = Vec::new(),
        /// File with more of them, one a line; lines that begin with # are ignored.
        info_hash_file: String = String::new(),
        /// Secrets of access tokens, of at least 16 characters. If there is one, only viewers with a token made with it are
        /// served. Several, so that a new one can follow an old one.
        token_secrets: Vec<String> = Vec::new(),
        /// File with more of them, one a line; lines that begin with # are ignored.
        token_secret_file: String = String::new(),
        /// Connections that may be in a swarm by the same token at the same time, counted by each worker. 0: no limit.
        token_connections: usize = 4,
    }
}

settings! {
    /// Who is introduced to whom. Read again on SIGHUP.
    pub struct MatchingSettings {
        /// Databases in MaxMind's format (.mmdb) that tell the network (ASN) or the country of an address, several if each
        /// tells one. Viewers of the same network, then of the same country, count as near when no neighbour is there;
        /// see `limits.near_percent`. Empty: only addresses tell who is near.
        databases: Vec<String> = Vec::new(),
    }
}

settings! {
    /// What is logged, on standard error.
    pub struct LogSettings {
        /// "error", "warn", "info", "debug", "trace", or directives as the RUST_LOG variable takes them.
        level: String = "info".into(),
        /// "text" or "json".
        format: LogFormat = LogFormat::Text,
        /// Lines a second of each kind that clients can cause (refusals, violations); the rest is counted.
        lines_per_second: f64 = 5.0,
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how to listen.
    pub server: ServerSettings,
    /// TLS.
    pub tls: TlsSettings,
    /// Whom to serve.
    pub access: AccessSettings,
    /// Several trackers as one.
    pub cluster: ClusterSettings,
    /// Who is introduced to whom.
    pub matching: MatchingSettings,
    /// Bounds for clients.
    pub limits: LimitSettings,
    /// What is logged.
    pub log: LogSettings,
}

/// What is wrong with the settings.
#[derive(Debug)]
pub enum ConfigError {
    /// A file could not be read.
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist or a value of the wrong type. Names line and key.
    Toml {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: Box<toml::de::Error>,
    },
    /// A value that is not allowed.
    Value {
        /// The setting, with its table.
        field: String,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

impl ConfigError {
    /// A value that is not allowed.
    pub fn value(field: &str, value: impl fmt::Display, allowed: impl fmt::Display) -> ConfigError {
        ConfigError::Value { field: field.into(), value: value.to_string(), allowed: allowed.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File { path, error } => write!(f, "{}: {error}", path.display()),
            ConfigError::Toml { path, error } => write!(f, "{}: {error}", path.display()),
            ConfigError::Value { field, value, allowed } => {
                write!(f, "{field} is {value}; allowed is {allowed}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
        let config: Config = toml::from_str(&text)
            .map_err(|error| ConfigError::Toml { path: path.to_owned(), error: Box::new(error) })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what types cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.server.listen.is_empty() {
            return Err(ConfigError::value("server.listen", "[]", "at least one address"));
        }
        if self.tls.certificate.is_empty() != self.tls.key.is_empty() {
            let (empty, set) =
                if self.tls.key.is_empty() { ("key", "certificate") } else { ("certificate", "key") };
            return Err(ConfigError::value(
                &format!("tls.{empty}"),
                "\"\"",
                format_args!("a PEM file, since tls.{set} is set"),
            ));
        }
        if self.log.lines_per_second.is_nan() || self.log.lines_per_second <= 0.0 {
            return Err(ConfigError::value(
                "log.lines_per_second",
                self.log.lines_per_second,
                "a number above 0",
            ));
        }
        if self.server.workers > NodeId::MOST_WORKERS {
            return Err(ConfigError::value(
                "server.workers",
                self.server.workers,
                format_args!("0 to {}", NodeId::MOST_WORKERS),
            ));
        }
        self.cluster.validate()?;
        self.limits.validate()
    }

    /// A file with every setting, its documentation and its default.
    pub fn sample() -> String {
        let config = Config::default();
        let mut out = String::from(
            "# Settings of hlswarm-tracker with their defaults. Written by `hlswarm-tracker --print-config`.\n\n",
        );
        config.server.sample("server", &mut out);
        config.tls.sample("tls", &mut out);
        config.access.sample("access", &mut out);
        config.cluster.sample("cluster", &mut out);
        config.matching.sample("matching", &mut out);
        config.limits.sample("limits", &mut out);
        config.log.sample("log", &mut out);
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }
}
