//! The stream: renditions, segments, their sizes, names and where they are.
//!
//! A segment's bytes are never made. Their identity is: a [`Run`] says which bytes of which resource a piece holds,
//! so that a byte in the wrong place is found as surely as by a hash.

use std::sync::Arc;

use hlswarm::engine::{SegmentInfo, TimelineUpdate, TrackKind};
use hlswarm::id::{ByteRange, SegmentKey, TrackId};

use crate::draw::{For, unit};
use crate::scenario::{FaultKind, Scenario, StreamKind};

/// A run of bytes of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Which resource (a file at the origin), see [`Catalog::locate`].
    pub resource: u32,
    /// First byte in the resource.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

/// Set in [`Run::resource`] for bytes that a viewer falsified.
pub(crate) const FORGED: u32 = 1 << 31;

/// One rendition.
#[derive(Debug)]
pub(crate) struct Rendition {
    pub track: TrackId,
    pub kind: TrackKind,
    pub bitrate_bps: u64,
    /// First byte of each segment if all were in one file, and the end of the last.
    offsets: Vec<u64>,
    urls: Vec<Arc<str>>,
}

/// A segment's place: rendition and index from the stream's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub rendition: u8,
    pub index: u32,
}

/// How a playlist numbers its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// Number of the segment with index 0.
    first: u64,
}

/// All that can be played.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub renditions: Vec<Rendition>,
    pub live: bool,
    pub segment_us: u64,
    /// Segments of a recording; of a live stream, the segments of the window.
    pub window: u32,
    byte_range: bool,
    discontinuity_every: u32,
    first_sequence: u64,
    renumbered_us: Option<u64>,
}

/// The first media sequence number of a live stream.
pub(crate) const FIRST_LIVE_SEQUENCE: u64 = 1000;

const INDEX_BITS: u32 = 24;
const WHOLE_FILE: u32 = (1 << INDEX_BITS) - 1;

impl Catalog {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Catalog {
        let stream = &scenario.stream;
        let live = stream.kind == StreamKind::Live;
        let produced = (scenario.length_s * 1000.0 / f64::from(stream.segment_ms)).ceil() as u32 + 2;
        let count = if live { stream.segments + produced } else { stream.segments };
        let video = stream.bitrates_kbps.iter().map(|&rate| (rate, TrackKind::Main));
        let audio = stream.audio_kbps.iter().map(|&rate| (rate, TrackKind::Audio));
        let renditions = video.chain(audio).enumerate().map(|(number, (kbps, kind))| {
            let mean = f64::from(kbps) * f64::from(stream.segment_ms) / 8.0;
            let mut offsets = Vec::with_capacity(count as usize + 1);
            let mut end = 0;
            offsets.push(end);
            for index in 0..count {
                let draw = unit(seed, For::SegmentSize, &[number as u64, u64::from(index)]);
                end += (mean * (1.0 + stream.size_spread * (2.0 * draw - 1.0))).max(188.0) as u64;
                offsets.push(end);
            }
            let role = if kind == TrackKind::Main { "main" } else { "audio" };
            Rendition {
                track: TrackId::from_name(&format!("{role} v{number}/index.m3u8")),
                kind,
                bitrate_bps: u64::from(kbps) * 1000,
                offsets,
                urls: (0..count).map(|index| url(number, index, stream.byte_range).into()).collect(),
            }
        });
        Catalog {
            renditions: renditions.collect(),
            live,
            segment_us: u64::from(stream.segment_ms) * 1000,
            window: stream.segments,
            byte_range: stream.byte_range,
            discontinuity_every: stream.discontinuity_every.unwrap_or(u32::MAX),
            first_sequence: if live { FIRST_LIVE_SEQUENCE } else { 0 },
            renumbered_us: scenario
                .fault
                .iter()
                .find(|fault| fault.what == FaultKind::SequenceReset)
                .map(|fault| (fault.at_s * 1e6) as u64),
        }
    }

    pub(crate) fn size(&self, place: Place) -> u32 {
        let offsets = &self.renditions[place.rendition as usize].offsets;
        (offsets[place.index as usize + 1] - offsets[place.index as usize]) as u32
    }

    /// How many segments a rendition has in all.
    pub(crate) fn count(&self, rendition: u8) -> u32 {
        self.renditions[rendition as usize].urls.len() as u32
    }

    /// The bytes that a segment consists of.
    pub(crate) fn content(&self, place: Place) -> Run {
        let rendition = u32::from(place.rendition) << INDEX_BITS;
        let len = self.size(place);
        if self.byte_range {
            let start = self.renditions[place.rendition as usize].offsets[place.index as usize];
            return Run { resource: rendition | WHOLE_FILE, start: start as u32, len };
        }
        Run { resource: rendition | place.index, start: 0, len }
    }

    /// Bytes of a whole resource.
    pub(crate) fn resource_len(&self, resource: u32) -> Option<u32> {
        let rendition = self.renditions.get((resource >> INDEX_BITS) as usize)?;
        let index = resource & WHOLE_FILE;
        if index == WHOLE_FILE {
            return rendition.offsets.last().map(|&end| end as u32);
        }
        let offsets = rendition.offsets.get(index as usize..index as usize + 2)?;
        Some((offsets[1] - offsets[0]) as u32)
    }

    /// The resource at a URL that [`timeline`](Self::timeline) gave.
    pub(crate) fn locate(&self, url: &str) -> Option<u32> {
        let path = url.strip_prefix("https://cdn.example/v")?;
        let (rendition, file) = path.split_once('/')?;
        let rendition: u32 = rendition.parse().ok()?;
        let index = match file {
            "all.mp4" => WHOLE_FILE,
            file => file.strip_suffix(".ts")?.parse().ok()?,
        };
        let resource = rendition << INDEX_BITS | index;
        self.resource_len(resource).map(|_| resource)
    }

    /// When a resource appears at the origin; a single file is there from the start.
    pub(crate) fn resource_available_us(&self, resource: u32) -> u64 {
        let index = resource & WHOLE_FILE;
        if index == WHOLE_FILE { 0 } else { self.available_us(index) }
    }

    /// How the playlist that is served at a moment numbers its segments.
    pub(crate) fn numbering_at(&self, now_us: u64) -> Numbering {
        let anew = self.renumbered_us.is_some_and(|at_us| at_us <= now_us);
        Numbering { first: if anew { 0 } else { self.first_sequence } }
    }

    pub(crate) fn key(&self, place: Place, numbering: Numbering) -> SegmentKey {
        SegmentKey {
            track: self.renditions[place.rendition as usize].track,
            discontinuity: place.index / self.discontinuity_every,
            sequence: numbering.first + u64::from(place.index),
        }
    }

    /// The segment of a key in the one numbering or in the other, whose numbers never meet.
    pub(crate) fn place(&self, key: SegmentKey) -> Option<Place> {
        let rendition = self.renditions.iter().position(|rendition| rendition.track == key.track)?;
        let old = self.renumbered_us.is_none() || key.sequence >= self.first_sequence;
        let numbering = Numbering { first: if old { self.first_sequence } else { 0 } };
        let index = u32::try_from(key.sequence.checked_sub(numbering.first)?).ok()?;
        let place = Place { rendition: rendition as u8, index };
        (self.key(place, numbering) == key && (index as usize) + 1 < self.renditions[rendition].offsets.len())
            .then_some(place)
    }

    /// When a segment is finished, from the simulation's start (a live window is full at the start).
    pub(crate) fn available_us(&self, index: u32) -> u64 {
        if !self.live {
            return 0;
        }
        (u64::from(index) + 1).saturating_sub(u64::from(self.window)) * self.segment_us
    }

    /// First index and one past the last of the playlist as it stands at `now_us`.
    pub(crate) fn window_at(&self, now_us: u64) -> (u32, u32) {
        if !self.live {
            return (0, self.window);
        }
        let first = (now_us / self.segment_us) as u32;
        (first, first + self.window)
    }

    /// The playlist of a rendition with the given window and numbers.
    pub(crate) fn timeline(
        &self,
        rendition: u8,
        (first, end): (u32, u32),
        numbering: Numbering,
    ) -> TimelineUpdate {
        let info = &self.renditions[rendition as usize];
        let segments = (first..end).map(|index| {
            let place = Place { rendition, index };
            let content = self.content(place);
            let byte_range = self.byte_range.then(|| ByteRange {
                start: u64::from(content.start),
                end: u64::from(content.start) + u64::from(content.len),
            });
            let key = self.key(place, numbering);
            SegmentInfo {
                discontinuity: key.discontinuity,
                sequence: key.sequence,
                start_ms: (u64::from(index) * self.segment_us / 1000) as i64,
                duration_ms: (self.segment_us / 1000) as u32,
                url: Arc::clone(&info.urls[index as usize]),
                byte_range,
            }
        });
        TimelineUpdate {
            track: info.track,
            kind: info.kind,
            live: self.live,
            bitrate_bps: Some(info.bitrate_bps),
            segments: segments.collect(),
        }
    }
}

fn url(rendition: usize, index: u32, byte_range: bool) -> String {
    if byte_range {
        return format!("https://cdn.example/v{rendition}/all.mp4");
    }
    format!("https://cdn.example/v{rendition}/{index}.ts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(extra: &str) -> Catalog {
        let text = crate::testing::VOD.replace("[stream]", &format!("[stream]\n{extra}"));
        Catalog::new(&Scenario::parse(&text).expect("a valid scenario"), 1)
    }

    #[test]
    fn names_lead_back_to_segments() {
        for extra in ["", "byte_range = true", "discontinuity_every = 3"] {
            let catalog = catalog(extra);
            for index in [0, 1, 7] {
                let place = Place { rendition: 0, index };
                let numbering = catalog.numbering_at(0);
                assert_eq!(catalog.place(catalog.key(place, numbering)), Some(place), "{extra}");
                let info = &catalog.timeline(0, (0, 8), numbering).segments[index as usize];
                let resource = catalog.locate(&info.url).expect("a known URL");
                let content = catalog.content(place);
                assert_eq!(resource, content.resource);
                assert!(content.start + content.len <= catalog.resource_len(resource).expect("known"));
                assert_eq!(info.byte_range.is_some(), extra.contains("byte_range"));
            }
            assert_eq!(catalog.locate("https://cdn.example/v0/99999.ts"), None);
        }
    }
    #[test]
    fn both_numberings_lead_back_to_segments() {
        let text = crate::testing::VOD.replace("\"vod\"", "\"live\"")
            + "[[fault]]\nwhat = \"sequence-reset\"\nat_s = 20\n";
        let catalog = Catalog::new(&Scenario::parse(&text).expect("a valid scenario"), 1);
        let place = Place { rendition: 0, index: 3 };
        let keys = [0, 20_000_000].map(|at_us| catalog.key(place, catalog.numbering_at(at_us)));
        assert_eq!(keys.map(|key| key.sequence), [FIRST_LIVE_SEQUENCE + 3, 3]);
        assert_eq!(keys.map(|key| catalog.place(key)), [Some(place); 2]);
    }
}
