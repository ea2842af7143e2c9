//! A histogram of durations in the form that Prometheus reads.

use hlswarm::time::Span;
use std::fmt::Write;

/// Upper bounds in microseconds.
const BOUNDS_US: [u64; 14] =
    [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// Counts durations by size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS_US.len()],
    count: u64,
    sum_us: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, duration: Span) {
        let us = duration.as_micros();
        let place = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Appends the histogram's lines in the text exposition format.
    pub fn write(&self, name: &str, out: &mut String) {
        let mut below = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_US) {
            below += bucket;
            // Writing to a String does not fail.
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", bound as f64 / 1e6);
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum {}", self.sum_us as f64 / 1e6);
        let _ = writeln!(out, "{name}_count {}", self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let mut histogram = Histogram::default();
        for us in [1, 50, 51, 9_000_000] {
            histogram.add(Span::from_micros(us));
        }
        let mut text = String::new();
        histogram.write("h", &mut text);
        assert!(text.starts_with("h_bucket{le=\"0.00005\"} 2\nh_bucket{le=\"0.0001\"} 3\n"), "{text}");
        assert!(text.ends_with("h_bucket{le=\"+Inf\"} 4\nh_sum 9.000102\nh_count 4\n"), "{text}");
    }
}
