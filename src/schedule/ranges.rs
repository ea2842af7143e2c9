//! Which bytes of a segment have arrived.

/// A set of byte offsets, kept as sorted, disjoint, non-adjacent ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Adds `start..end`. Bytes that were there already stay there once.
    pub fn insert(&mut self, start: u64, end: u64) {
        if end <= start {
            return;
        }
        let first = self.ranges.partition_point(|&(_, e)| e < start);
        let last = self.ranges.partition_point(|&(s, _)| s <= end);
        if first == last {
            self.ranges.insert(first, (start, end));
            return;
        }
        let merged = (start.min(self.ranges[first].0), end.max(self.ranges[last - 1].1));
        self.ranges.splice(first..last, [merged]);
    }

    /// Takes `start..end` out.
    pub fn remove(&mut self, start: u64, end: u64) {
        if end <= start {
            return;
        }
        let kept = self.ranges.iter().flat_map(|&(s, e)| [(s, e.min(start)), (s.max(end), e)]);
        self.ranges = kept.filter(|(s, e)| s < e).collect();
    }

    /// The end of the run of bytes that are there from `at` on; `at` itself if there is none.
    pub fn contiguous_end(&self, at: u64) -> u64 {
        match self.ranges.get(self.ranges.partition_point(|&(_, e)| e <= at)) {
            Some(&(start, end)) if start <= at => end,
            _ => at,
        }
    }

    /// The first run of missing bytes in `from..to`.
    pub fn first_gap(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let start = self.contiguous_end(from);
        if start >= to {
            return None;
        }
        let next = self.ranges.get(self.ranges.partition_point(|&(s, _)| s <= start));
        Some((start, next.map_or(to, |&(s, _)| s.min(to))))
    }

    /// How many bytes are there.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(start, end)| end - start).sum()
    }

    /// Whether no byte is there.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One past the highest byte that is there.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |&(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RangeSet;

    #[test]
    fn finds_gaps_and_runs() {
        let mut set = RangeSet::default();
        set.insert(10, 20);
        set.insert(30, 40);
        assert_eq!(set.first_gap(0, 50), Some((0, 10)));
        assert_eq!(set.first_gap(10, 50), Some((20, 30)));
        assert_eq!(set.first_gap(35, 50), Some((40, 50)));
        assert_eq!(set.first_gap(32, 40), None);
        assert_eq!(set.contiguous_end(12), 20);
        assert_eq!(set.contiguous_end(25), 25);
        set.insert(20, 30);
        assert_eq!(set.contiguous_end(10), 40);
        assert_eq!(set.len(), 30);
        assert_eq!(set.end(), 40);
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(
            changes in prop::collection::vec((0u64..64, 0u64..16, prop::bool::weighted(0.8)), 0..20),
            from in 0u64..64,
        ) {
            let mut set = RangeSet::default();
            let mut bits = [false; 96];
            for (start, len, there) in changes {
                if there { set.insert(start, start + len) } else { set.remove(start, start + len) }
                bits[start as usize..(start + len) as usize].fill(there);
            }
            prop_assert_eq!(set.len(), bits.iter().filter(|&&bit| bit).count() as u64);
            let run = (from as usize..96).take_while(|&at| bits[at]).count() as u64;
            prop_assert_eq!(set.contiguous_end(from), from + run);
            let gap_start = (from as usize..80).find(|&at| !bits[at]);
            let gap = gap_start.map(|start| {
                let end = (start..80).find(|&at| bits[at]).unwrap_or(80);
                (start as u64, end as u64)
            });
            prop_assert_eq!(set.first_gap(from, 80), gap);
        }
    }
}
