//! How fast bytes come.

use crate::time::Span;

/// An estimate of a transfer rate from finished or running transfers: an exponentially weighted mean in which a
/// transfer counts by its duration, so that many tiny transfers do not drown one long one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateEstimate {
    bits: f64,
    seconds: f64,
}

/// A sample of this many seconds halves the weight of what was known before.
const HALF_LIFE_SECONDS: f64 = 8.0;
/// Shorter transfers say more about buffers than about the network.
const SHORTEST_SECONDS: f64 = 0.005;

impl RateEstimate {
    /// Learns that `bytes` took `span`.
    pub fn record(&mut self, bytes: u64, span: Span) {
        if bytes == 0 {
            return;
        }
        let seconds = span.as_secs_f64().max(SHORTEST_SECONDS);
        let keep = half_to_the((seconds / HALF_LIFE_SECONDS).max(0.1));
        self.bits = self.bits * keep + bytes as f64 * 8.0;
        self.seconds = self.seconds * keep + seconds;
    }

    /// The rate in bits per second, if anything is known.
    pub fn bps(&self) -> Option<u64> {
        (self.seconds > 0.0).then(|| (self.bits / self.seconds) as u64)
    }
}

/// `0.5^exponent` for a positive exponent, to five digits. The standard `powf` may differ from platform to platform,
/// and brings four kilobytes of tables into the browser.
fn half_to_the(exponent: f64) -> f64 {
    let whole = exponent.min(1000.0) as u64;
    let x = exponent.min(1000.0) - whole as f64;
    // The Taylor series of exp(-x ln 2).
    let terms = [
        1.0,
        -std::f64::consts::LN_2,
        0.240_226_507,
        -0.055_504_109,
        0.009_618_129,
        -0.001_333_356,
        0.000_154_035,
        -0.000_015_253,
    ];
    let fraction = terms.iter().rev().fold(0.0, |sum, term| sum * x + term);
    fraction * f64::from_bits((1023 - whole) << 52)
}

/// How long `bytes` take at `bps`.
pub fn span_for(bytes: u64, bps: u64) -> Span {
    Span::from_micros((bytes.saturating_mul(8_000_000)).checked_div(bps.max(1)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_change_and_ignores_nothing_known() {
        let mut rate = RateEstimate::default();
        assert_eq!(rate.bps(), None);
        rate.record(1_000_000, Span::from_secs(1));
        assert_eq!(rate.bps(), Some(8_000_000));
        for _ in 0..20 {
            rate.record(100_000, Span::from_secs(2));
        }
        let now = rate.bps().expect("known");
        assert!((400_000..1_000_000).contains(&now), "{now}");
    }

    #[test]
    fn powers_of_a_half() {
        for step in 0..2000 {
            let exponent = f64::from(step) / 100.0;
            let exact = 0.5f64.powf(exponent);
            assert!((half_to_the(exponent) - exact).abs() < 1e-5 * exact, "{exponent}");
        }
        assert!(half_to_the(1e9) < 1e-300);
    }

    #[test]
    fn spans() {
        assert_eq!(span_for(1_000_000, 8_000_000), Span::from_secs(1));
        assert_eq!(span_for(1, 0), Span::from_secs(8));
    }
}
