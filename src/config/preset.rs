//! Ready-made settings.

use serde::Serialize;

use super::Config;

/// A ready-made set of options, laid over the defaults; explicit keys win over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// Films with long segments (about 20 s): the recipe that users of the option shape know. Looks far ahead, keeps
    /// nearly everything and gives peers a long chance at the start.
    Vod,
    /// Live streams with 15 to 20 segments of about 5 s in the playlist. The defaults suit them; what differs is that
    /// a failed or slow download must be decided within the window: an aborted download goes on over HTTP, HTTP is
    /// retried after 2 s, a peer is given up after 20 s, and nothing is fetched at random that nobody could share.
    Live,
}

impl Preset {
    /// The defaults with this preset laid over them.
    pub fn config(self) -> Config {
        let mut config = Config { presets: Some(self), ..Config::default() };
        let loader = &mut config.loader;
        match self {
            Preset::Vod => {
                config.segments.forward_segment_count = 50;
                loader.cached_segment_expiration = 86_400_000;
                loader.cached_segments_count = 1000;
                loader.required_segments_priority = 3;
                loader.http_download_max_priority = 9;
                loader.http_download_probability = 0.06;
                loader.http_download_probability_interval = 1000;
                loader.http_download_probability_skip_if_no_peers = true;
                loader.p2p_download_max_priority = 50;
                loader.http_failed_segment_timeout = 1000;
                loader.simultaneous_p2p_downloads = 20;
                loader.simultaneous_http_downloads = 3;
                loader.http_download_initial_timeout = 120_000;
                loader.http_download_initial_timeout_per_segment = 17_000;
                loader.http_download_ranges = true;
            }
            Preset::Live => {
                loader.cached_segment_expiration = 120_000;
                loader.http_download_probability_skip_if_no_peers = true;
                loader.http_failed_segment_timeout = 2000;
                loader.simultaneous_p2p_downloads = 6;
                loader.p2p_segment_download_timeout = 20_000;
                loader.http_download_ranges = true;
            }
        }
        config
    }
}
