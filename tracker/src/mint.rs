//! `hlswarm-tracker mint-token`: access tokens from the command line.

use std::path::PathBuf;

use clap::Args;
use hlswarm::id::SwarmId;
use hlswarm_tracker::config::{ConfigError, parse_info_hash, read_secrets};
use rand::TryRng;
use rand::rngs::SysRng;

/// Prints an access token. Web servers make their own, as docs/tracker.md shows; this is for trying things out.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("scope").required(true).args(["stream", "info_hash", "any"])))]
pub(crate) struct MintToken {
    /// File with the secrets, one a line; the first is used.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// For this stream: the manifest's URL without its query, or `segments.swarmId` if the page sets it.
    #[arg(long, value_name = "URL")]
    stream: Option<String>,
    /// For this swarm: 20 characters or 40 hex digits.
    #[arg(long, value_name = "INFO_HASH")]
    info_hash: Option<String>,
    /// For any swarm.
    #[arg(long)]
    any: bool,
    /// How long it shall be good.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires_in_secs: u64,
}

impl MintToken {
    /// The token.
    pub(crate) fn mint(&self, now_s: u64) -> Result<String, ConfigError> {
        let file = self.secret_file.to_string_lossy();
        let secrets = read_secrets(&[], &file)?;
        let swarm = match (&self.stream, &self.info_hash) {
            (Some(stream), _) => Some(SwarmId::from_name(stream)),
            (_, Some(text)) => Some(SwarmId(parse_info_hash("--info-hash", text)?)),
            _ => None,
        };
        let nonce = nonce().ok_or_else(|| {
            ConfigError::value("nonce", "nothing", "randomness, which the system does not give")
        })?;
        secrets
            .mint(swarm, now_s.saturating_add(self.expires_in_secs), &nonce)
            .ok_or_else(|| ConfigError::value("--secret-file", file, "a file with at least one secret"))
    }
}

fn nonce() -> Option<String> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
