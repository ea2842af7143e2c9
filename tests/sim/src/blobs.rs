//! Blobs without bytes: what each piece of a blob holds.

use std::collections::BTreeMap;

use crate::media::Run;

/// The content of a piece of a blob, as it travels between viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// One run, as nearly always.
    One(Run),
    /// Several, end to end.
    Many(Box<[Run]>),
}

impl Payload {
    pub(crate) fn runs(&self) -> &[Run] {
        match self {
            Payload::One(run) => std::slice::from_ref(run),
            Payload::Many(runs) => runs,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.runs().iter().map(|run| run.len).sum()
    }

    /// The same length of other bytes.
    pub(crate) fn forge(&mut self) {
        match self {
            Payload::One(run) => run.resource |= crate::media::FORGED,
            Payload::Many(runs) => runs.iter_mut().for_each(|run| run.resource |= crate::media::FORGED),
        }
    }

    /// `len` bytes from `skip` on; `None` when there are not so many.
    pub(crate) fn part(&self, skip: u32, len: u32) -> Option<Payload> {
        let end = skip.checked_add(len)?;
        let mut out = Vec::new();
        let mut at = 0;
        for run in self.runs() {
            let (from, to) = (skip.max(at), end.min(at + run.len));
            if from < to {
                out.push(Run { resource: run.resource, start: run.start + (from - at), len: to - from });
            }
            at += run.len;
        }
        (at >= end).then(|| Payload::from_runs(out))
    }

    fn from_runs(mut runs: Vec<Run>) -> Payload {
        if runs.len() == 1 { Payload::One(runs.remove(0)) } else { Payload::Many(runs.into()) }
    }
}

/// A viewer's blobs.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    blobs: BTreeMap<u32, Vec<(u32, Run)>>,
    /// By blob, over how many viewers its bytes came at most; none when the origin served all.
    hops: BTreeMap<u32, u8>,
    bytes: u64,
}

impl Blobs {
    /// Bytes in all blobs.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Whether there is a blob with that id.
    pub(crate) fn exists(&self, blob: u32) -> bool {
        self.blobs.contains_key(&blob)
    }

    /// Starts an empty blob; `false` when there is one with that id.
    pub(crate) fn create(&mut self, blob: u32) -> bool {
        self.blobs.insert(blob, Vec::new()).is_none()
    }

    /// Forgets a blob; `false` when there is none.
    pub(crate) fn remove(&mut self, blob: u32) -> bool {
        let Some(pieces) = self.blobs.remove(&blob) else { return false };
        self.hops.remove(&blob);
        self.bytes -= pieces.iter().map(|(_, run)| u64::from(run.len)).sum::<u64>();
        true
    }

    /// Writes at an offset. The error says what does not fit.
    pub(crate) fn write(&mut self, blob: u32, at: u64, payload: &Payload) -> Result<(), String> {
        let Some(pieces) = self.blobs.get_mut(&blob) else { return Err(format!("no blob {blob}")) };
        let mut at = u32::try_from(at).map_err(|_| format!("offset {at} is beyond any segment"))?;
        for &run in payload.runs() {
            let index = pieces.partition_point(|&(start, _)| start < at);
            let end = at.checked_add(run.len).ok_or_else(|| format!("offset {at} is beyond any segment"))?;
            let before = index.checked_sub(1).map(|i| pieces[i].0 + pieces[i].1.len);
            let after = pieces.get(index).map(|piece| piece.0);
            if before.is_some_and(|before| before > at) || after.is_some_and(|after| after < end) {
                return Err(format!("blob {blob} holds bytes within {at}..{end} already"));
            }
            insert(pieces, index, at, run);
            self.bytes += u64::from(run.len);
            at = end;
        }
        Ok(())
    }

    /// Forgets a range; `false` when some of it was never written.
    pub(crate) fn clear(&mut self, blob: u32, at: u64, len: u32) -> bool {
        let whole = self.read(blob, at, len).is_some();
        let (at, Some(pieces)) = (at as u32, self.blobs.get_mut(&blob)) else { return false };
        let end = at + len;
        let mut kept = Vec::with_capacity(pieces.len() + 1);
        for &(start, run) in pieces.iter() {
            let past = start + run.len;
            if start < at {
                kept.push((start, Run { len: past.min(at) - start, ..run }));
            }
            if past > end {
                let from = start.max(end);
                kept.push((from, Run { start: run.start + (from - start), len: past - from, ..run }));
            }
            self.bytes -= u64::from(past.min(end).saturating_sub(start.max(at)));
        }
        *pieces = kept;
        whole
    }

    /// Reads a range; `None` when some of it was never written.
    pub(crate) fn read(&self, blob: u32, at: u64, len: u32) -> Option<Payload> {
        let at = u32::try_from(at).ok()?;
        let end = at.checked_add(len)?;
        let pieces = self.blobs.get(&blob)?;
        let mut index = pieces.partition_point(|&(start, _)| start <= at).checked_sub(1)?;
        let mut out = Vec::new();
        let mut from = at;
        while from < end {
            let &(start, run) = pieces.get(index)?;
            if start > from || start + run.len <= from {
                return None;
            }
            let to = end.min(start + run.len);
            out.push(Run { resource: run.resource, start: run.start + (from - start), len: to - from });
            from = to;
            index += 1;
        }
        Some(Payload::from_runs(out))
    }

    /// Over how many viewers a blob's bytes came at most; 0 for bytes of the origin alone.
    pub(crate) fn hops(&self, blob: u32) -> u8 {
        self.hops.get(&blob).copied().unwrap_or(0)
    }

    /// Notes that bytes of a blob came over so many viewers.
    pub(crate) fn came_over(&mut self, blob: u32, hops: u8) {
        let known = self.hops.entry(blob).or_default();
        *known = hops.max(*known);
    }

    /// Whether a blob consists of exactly these bytes.
    pub(crate) fn is_exactly(&self, blob: u32, content: Run) -> bool {
        self.blobs.get(&blob).is_some_and(|pieces| pieces.as_slice() == [(0, content)])
    }

    /// What a blob holds, for messages.
    pub(crate) fn describe(&self, blob: u32) -> String {
        match self.blobs.get(&blob) {
            None => "nothing".to_owned(),
            Some(pieces) => format!("{pieces:?}"),
        }
    }
}

/// Inserts a run, joined to neighbours that it continues.
fn insert(pieces: &mut Vec<(u32, Run)>, index: usize, at: u32, run: Run) {
    let continues = |(start, first): (u32, Run), (next, second): (u32, Run)| {
        start + first.len == next
            && first.resource == second.resource
            && first.start + first.len == second.start
    };
    if index > 0 && continues(pieces[index - 1], (at, run)) {
        pieces[index - 1].1.len += run.len;
        if index < pieces.len() && continues(pieces[index - 1], pieces[index]) {
            pieces[index - 1].1.len += pieces[index].1.len;
            pieces.remove(index);
        }
    } else if index < pieces.len() && continues((at, run), pieces[index]) {
        pieces[index] = (at, Run { len: run.len + pieces[index].1.len, ..run });
    } else {
        pieces.insert(index, (at, run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u32, len: u32) -> Payload {
        Payload::One(Run { resource: 5, start, len })
    }

    #[test]
    fn pieces_join_in_any_order() {
        let mut blobs = Blobs::default();
        assert!(blobs.create(1));
        assert!(!blobs.create(1));
        for start in [10, 30, 20, 0] {
            blobs.write(1, start, &run(start as u32, 10)).expect("it fits");
        }
        assert!(blobs.is_exactly(1, Run { resource: 5, start: 0, len: 40 }));
        assert_eq!(blobs.bytes(), 40);
        assert_eq!(blobs.read(1, 15, 10), Some(run(15, 10)));
        assert_eq!(blobs.read(1, 35, 10), None);
        assert!(blobs.write(1, 39, &run(39, 2)).is_err());
        assert!(blobs.clear(1, 10, 20));
        assert_eq!((blobs.read(1, 10, 1), blobs.bytes()), (None, 20));
        assert_eq!((blobs.read(1, 0, 10), blobs.read(1, 30, 10)), (Some(run(0, 10)), Some(run(30, 10))));
        assert!(!blobs.clear(1, 5, 10), "some of it is gone already");
        blobs.write(1, 5, &run(5, 25)).expect("it fits");
        assert!(blobs.remove(1));
        assert_eq!(blobs.bytes(), 0);
    }

    #[test]
    fn bytes_from_elsewhere_are_seen() {
        let mut blobs = Blobs::default();
        blobs.create(1);
        blobs.write(1, 0, &run(0, 10)).expect("it fits");
        blobs.write(1, 10, &run(11, 10)).expect("it fits");
        assert!(!blobs.is_exactly(1, Run { resource: 5, start: 0, len: 20 }));
        let both = blobs.read(1, 5, 10).expect("all there");
        assert_eq!(both.runs().len(), 2);
        assert_eq!(both.part(5, 3), Some(run(11, 3)));
        assert_eq!(both.part(5, 6), None);
        let mut forged = run(0, 10);
        forged.forge();
        assert_ne!(forged, run(0, 10));
    }
}
