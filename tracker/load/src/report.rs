//! What is measured.

use serde::Serialize;

use crate::process::Usage;

/// Results of one run, as printed.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) mode: String,
    pub(crate) tls: bool,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    pub(crate) announces: u64,
    pub(crate) replies: u64,
    pub(crate) failures: u64,
    pub(crate) offers_sent: u64,
    pub(crate) offers_received: u64,
    pub(crate) answers_received: u64,
    /// Connections that ended although they behaved.
    pub(crate) lost_connections: u64,
    pub(crate) accepts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply_ms: Option<Percentiles>,
    /// From an announce to the answer to one of its offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip_ms: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) announces_per_cpu_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepts_per_cpu_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_connection: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_resident_bytes: Option<u64>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Percentiles of times in microseconds; sorts them.
pub(crate) fn percentiles(times_us: &mut [u64]) -> Option<Percentiles> {
    times_us.sort_unstable();
    let at = |part: f64| {
        let place = ((times_us.len() as f64 * part) as usize).min(times_us.len().checked_sub(1)?);
        times_us.get(place).map(|us| *us as f64 / 1000.0)
    };
    Some(Percentiles { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)?, max: at(1.0)? })
}

impl Report {
    /// Fills in what the server's process used between two looks.
    pub(crate) fn add_usage(&mut self, before: Option<Usage>, after: Option<Usage>) {
        let (Some(before), Some(after)) = (before, after) else { return };
        let cpu = after.cpu_seconds - before.cpu_seconds;
        self.server_cpu_seconds = Some(cpu);
        self.server_resident_bytes = Some(after.resident_bytes);
        if cpu > 0.0 {
            // Some trackers reply to answers as well: only announces count, and only answered ones.
            let answered = self.announces.min(self.replies);
            self.announces_per_cpu_second = (answered > 0).then_some(answered as f64 / cpu);
            self.accepts_per_cpu_second = (self.accepts > 0).then_some(self.accepts as f64 / cpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let mut times: Vec<u64> = (1..=100).rev().map(|ms| ms * 1000).collect();
        let got = percentiles(&mut times).unwrap();
        assert_eq!((got.p50, got.p95, got.p99, got.max), (51.0, 96.0, 100.0, 100.0));
        assert!(percentiles(&mut []).is_none());
    }
}
