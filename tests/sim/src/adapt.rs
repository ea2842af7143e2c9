//! Bandwidth estimate and choice of rendition as in hls.js: two moving averages, the lower one counts.

/// `abrEwmaFastVoD` and `abrEwmaSlowVoD`: half-lives in seconds; `abrEwmaDefaultEstimate`; `abrBandWidthFactor` and
/// `abrBandWidthUpFactor`.
const FAST_S: f64 = 3.0;
const SLOW_S: f64 = 9.0;
const DEFAULT_BPS: f64 = 500_000.0;
const STAY: f64 = 0.95;
const UP: f64 = 0.7;

/// The estimator of one player.
#[derive(Debug, Default)]
pub(crate) struct Estimator {
    fast: Average,
    slow: Average,
}

#[derive(Debug, Default)]
struct Average {
    value: f64,
    weight: f64,
}

impl Average {
    fn sample(&mut self, half_life_s: f64, weight_s: f64, value: f64) {
        let keep = 0.5f64.powf(weight_s / half_life_s);
        self.value = value * (1.0 - keep) + keep * self.value;
        self.weight += weight_s;
    }

    fn estimate(&self, half_life_s: f64) -> f64 {
        self.value / (1.0 - 0.5f64.powf(self.weight / half_life_s))
    }
}

impl Estimator {
    /// A download of `bytes` took `us`.
    pub(crate) fn sample(&mut self, bytes: u64, us: u64) {
        // hls.js takes no sample for less than 50 ms.
        let seconds = us.max(50_000) as f64 / 1e6;
        let bps = bytes as f64 * 8.0 / seconds;
        self.fast.sample(FAST_S, seconds, bps);
        self.slow.sample(SLOW_S, seconds, bps);
    }

    /// The highest rendition that fits; going up asks for more room than staying.
    pub(crate) fn choose(&self, rates_bps: impl Iterator<Item = u64>, current: u8) -> u8 {
        let estimate = if self.fast.weight > 0.0 {
            self.fast.estimate(FAST_S).min(self.slow.estimate(SLOW_S))
        } else {
            DEFAULT_BPS
        };
        let fits = |&(index, rate): &(usize, u64)| {
            let factor = if index > usize::from(current) { UP } else { STAY };
            rate as f64 <= estimate * factor
        };
        rates_bps.enumerate().filter(fits).max_by_key(|&(_, rate)| rate).map_or(0, |(index, _)| index as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_measured_rate() {
        let rates = [500_000u64, 2_000_000, 8_000_000];
        let mut estimator = Estimator::default();
        assert_eq!(estimator.choose(rates.into_iter(), 0), 0);
        for _ in 0..10 {
            estimator.sample(1_000_000, 2_000_000);
        }
        assert_eq!(estimator.choose(rates.into_iter(), 0), 1);
        for _ in 0..40 {
            estimator.sample(1_000_000, 500_000);
        }
        assert_eq!(estimator.choose(rates.into_iter(), 1), 2);
        for _ in 0..40 {
            estimator.sample(100_000, 1_000_000);
        }
        assert_eq!(estimator.choose(rates.into_iter(), 2), 0);
    }
}
