//! Media playlists.

use std::sync::Arc;

use m3u8_rs::{KeyMethod, MediaSegment};
use url::Url;

use crate::engine::{SegmentInfo, TimelineUpdate, TrackKind};
use crate::id::{ByteRange, SegmentKey, TrackId};
use crate::timeline::{MAX_SEQUENCE, Timeline};

use super::lines::{Lines, check};
use super::{MAX_SEGMENTS, PlaylistError, resolve};

/// One track's segments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    /// Whether the playlist may still grow or move.
    pub live: bool,
    /// `EXT-X-TARGETDURATION` in milliseconds.
    pub target_duration_ms: u64,
    /// The segments in order, without those that `EXT-X-GAP` says are not there. Times count from the playlist's
    /// beginning; [`MediaPlaylist::into_update`] puts them in line with what is known.
    pub segments: Vec<SegmentInfo>,
    /// Initialisation segments (`EXT-X-MAP`). They are not shared; a player loads them itself.
    pub init_segments: Vec<InitSegment>,
    /// Keys (`EXT-X-KEY`). They are never shared, and what they encrypt is shared as it is.
    pub keys: Vec<KeyNote>,
}

/// An initialisation segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitSegment {
    /// The media sequence number of the first segment that it is for.
    pub from_sequence: u64,
    /// Absolute URL.
    pub url: String,
    /// Which part of the resource it is.
    pub byte_range: Option<ByteRange>,
}

/// How segments are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNote {
    /// The media sequence number of the first segment that it is for.
    pub from_sequence: u64,
    /// `METHOD`, e.g. `AES-128` or `NONE`.
    pub method: String,
    /// Where the key is, made absolute where it is a web address.
    pub url: Option<String>,
}

impl MediaPlaylist {
    /// The update to give to the engine. Start times continue those that `timeline` has for the track, by the first
    /// segment that both list; without one, by the last that is known.
    pub fn into_update(
        mut self,
        track: TrackId,
        kind: TrackKind,
        bitrate_bps: Option<u64>,
        timeline: &Timeline,
    ) -> TimelineUpdate {
        let shift = self.shift(track, timeline);
        for segment in &mut self.segments {
            segment.start_ms = segment.start_ms.saturating_add(shift);
        }
        TimelineUpdate { track, kind, live: self.live, bitrate_bps, segments: self.segments }
    }

    fn shift(&self, track: TrackId, timeline: &Timeline) -> i64 {
        let known = self.segments.iter().find_map(|segment| {
            let SegmentInfo { discontinuity, sequence, .. } = *segment;
            let known = timeline.segment(SegmentKey { track, discontinuity, sequence })?;
            Some(known.start_ms.saturating_sub(segment.start_ms))
        });
        known
            .or_else(|| {
                let (last, first) = (timeline.last(track)?, self.segments.first()?);
                let missed = first.sequence.checked_sub(last.key.sequence)?.saturating_sub(1);
                let missed_ms = i64::try_from(missed.saturating_mul(self.target_duration_ms)).ok()?;
                let end = last.start_ms.saturating_add(i64::from(last.duration_ms));
                Some(end.saturating_add(missed_ms).saturating_sub(first.start_ms))
            })
            .unwrap_or(0)
    }
}

/// The lines of one segment as they are collected, to be read together.
#[derive(Default)]
struct Entry {
    text: String,
    duration_s: Option<f64>,
    discontinuity: bool,
    gap: bool,
    key_line: usize,
    other_line: usize,
}

pub(super) fn parse(lines: Lines<'_>, base: &Url) -> Result<MediaPlaylist, PlaylistError> {
    let mut reader = Reader { base, playlist: MediaPlaylist::default(), state: State::default() };
    reader.playlist.live = true;
    let mut target = None;
    let mut entry = Entry::default();
    for (number, line) in lines.iter() {
        check(number, line)?;
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-TARGETDURATION" => target = Some(seconds(number, "EXT-X-TARGETDURATION", value)?),
            "#EXT-X-MEDIA-SEQUENCE" => {
                reader.before_segments(number, "EXT-X-MEDIA-SEQUENCE", value)?;
                reader.state.sequence =
                    whole(number, "EXT-X-MEDIA-SEQUENCE", value, MAX_SEQUENCE - MAX_SEGMENTS as u64)?;
            }
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                reader.before_segments(number, "EXT-X-DISCONTINUITY-SEQUENCE", value)?;
                let max = u64::from(u32::MAX) - MAX_SEGMENTS as u64;
                let sequence = whole(number, "EXT-X-DISCONTINUITY-SEQUENCE", value, max)?;
                reader.state.discontinuity = u32::try_from(sequence).unwrap_or(u32::MAX);
            }
            "#EXT-X-ENDLIST" => reader.playlist.live = false,
            "#EXT-X-PLAYLIST-TYPE" => match value.trim() {
                "VOD" => reader.playlist.live = false,
                "EVENT" => {}
                _ => return Err(PlaylistError::line(number, "EXT-X-PLAYLIST-TYPE", value, "VOD or EVENT")),
            },
            "#EXT-X-DISCONTINUITY" => entry.discontinuity = true,
            "#EXT-X-GAP" => entry.gap = true,
            "#EXTINF" => {
                let (duration, _) = value.split_once(',').unwrap_or((value, ""));
                entry.duration_s = Some(seconds(number, "EXTINF", duration)?);
            }
            "#EXT-X-KEY" => {
                entry.key_line = number;
                entry.text.push_str(line);
                entry.text.push('\n');
            }
            "#EXT-X-MAP" | "#EXT-X-BYTERANGE" => {
                entry.other_line = number;
                entry.text.push_str(line);
                entry.text.push('\n');
            }
            _ if line.starts_with('#') => {}
            _ => reader.segment(number, line, std::mem::take(&mut entry))?,
        }
    }
    let target = target.ok_or(PlaylistError::Missing { tag: "EXT-X-TARGETDURATION" })?;
    reader.playlist.target_duration_ms = (target * 1000.0).round() as u64;
    Ok(reader.playlist)
}

#[derive(Default)]
struct State {
    /// Of the next segment.
    sequence: u64,
    discontinuity: u32,
    start_s: f64,
    /// How many segments were read, gaps included.
    count: usize,
    /// Where the byte range of the segment before ended, and in which resource.
    range_end: Option<(Arc<str>, u64)>,
}

struct Reader<'a> {
    base: &'a Url,
    playlist: MediaPlaylist,
    state: State,
}

impl Reader<'_> {
    fn before_segments(&self, line: usize, tag: &'static str, value: &str) -> Result<(), PlaylistError> {
        if self.state.count == 0 {
            return Ok(());
        }
        Err(PlaylistError::line(line, tag, value, "given before the first segment"))
    }

    fn segment(&mut self, line: usize, uri: &str, entry: Entry) -> Result<(), PlaylistError> {
        let Some(duration_s) = entry.duration_s else {
            return Err(PlaylistError::line(line, "URI", uri, "preceded by EXTINF"));
        };
        if self.state.count == MAX_SEGMENTS {
            return Err(PlaylistError::TooMany { what: "segments", max: MAX_SEGMENTS });
        }
        let url: Arc<str> = String::from(resolve(self.base, line, uri)?).into();
        let read = self.attributes(&entry)?;
        let byte_range = self.byte_range(&entry, &read, &url)?;
        self.note(&entry, &read)?;

        let state = &mut self.state;
        state.range_end = byte_range.map(|range| (url.clone(), range.end));
        state.discontinuity += u32::from(entry.discontinuity);
        let start_ms = (state.start_s * 1000.0).round() as i64;
        state.start_s += duration_s;
        let end_ms = (state.start_s * 1000.0).round() as i64;
        if !entry.gap {
            self.playlist.segments.push(SegmentInfo {
                discontinuity: state.discontinuity,
                sequence: state.sequence,
                start_ms,
                duration_ms: u32::try_from(end_ms - start_ms).unwrap_or(u32::MAX),
                url,
                byte_range,
            });
        }
        state.sequence += 1;
        state.count += 1;
        Ok(())
    }

    /// What `m3u8_rs` makes of the tags of one segment.
    fn attributes(&self, entry: &Entry) -> Result<MediaSegment, PlaylistError> {
        if entry.text.is_empty() {
            return Ok(MediaSegment::default());
        }
        // It refuses `METHOD=NONE` without the `IV` that only other methods need.
        let text = entry.text.replace("METHOD=NONE", "METHOD=NONE,IV=0x0");
        let text = format!("#EXTM3U\n{text}#EXTINF:0,\nsegment\n");
        let read = m3u8_rs::parse_media_playlist_res(text.as_bytes()).ok();
        let mut segments = read.map(|playlist| playlist.segments).unwrap_or_default();
        // What is left over of a tag would have become a segment of its own.
        let Some(segment) = segments.pop().filter(|_| segments.is_empty()) else {
            return Err(PlaylistError::line(
                entry.key_line.max(entry.other_line),
                "tags",
                entry.text.trim_end(),
                "written as RFC 8216 says",
            ));
        };
        let Some(bad) = segment.unknown_tags.first() else { return Ok(segment) };
        let value = bad.rest.as_deref().unwrap_or_default();
        Err(match bad.tag.as_str() {
            "X-KEY" => PlaylistError::line(
                entry.key_line,
                "EXT-X-KEY",
                value,
                "a list of attributes with METHOD among them",
            ),
            "X-MAP" => PlaylistError::line(
                entry.other_line,
                "EXT-X-MAP",
                value,
                "a list of attributes with a quoted URI among them",
            ),
            _ => PlaylistError::line(
                entry.other_line,
                "EXT-X-BYTERANGE",
                value,
                "a length, or a length, @ and an offset",
            ),
        })
    }

    fn byte_range(
        &self,
        entry: &Entry,
        read: &MediaSegment,
        url: &Arc<str>,
    ) -> Result<Option<ByteRange>, PlaylistError> {
        let Some(range) = &read.byte_range else { return Ok(None) };
        let before =
            self.state.range_end.as_ref().filter(|(resource, _)| resource == url).map(|(_, end)| *end);
        let shown =
            range.offset.map_or_else(|| range.length.to_string(), |at| format!("{}@{at}", range.length));
        let refuse = |allowed| PlaylistError::line(entry.other_line, "EXT-X-BYTERANGE", &shown, allowed);
        let Some(start) = range.offset.or(before) else {
            return Err(refuse("given with an offset where the segment before is of another resource"));
        };
        match start.checked_add(range.length) {
            Some(end) if end > start => Ok(Some(ByteRange { start, end })),
            _ => Err(refuse("a range of at least one byte that ends below 2^64")),
        }
    }

    /// Notes what the player needs beside the segments.
    fn note(&mut self, entry: &Entry, read: &MediaSegment) -> Result<(), PlaylistError> {
        let from_sequence = self.state.sequence;
        if let Some(map) = &read.map {
            let url = String::from(resolve(self.base, entry.other_line, &map.uri)?);
            let byte_range = map.byte_range.as_ref().map(|range| {
                let start = range.offset.unwrap_or(0);
                ByteRange { start, end: start.saturating_add(range.length) }
            });
            self.playlist.init_segments.push(InitSegment { from_sequence, url, byte_range });
        }
        if let Some(key) = &read.key {
            let absolute = |uri: &String| self.base.join(uri).map_or_else(|_| uri.clone(), String::from);
            let url = key.uri.as_ref().filter(|_| key.method != KeyMethod::None).map(absolute);
            self.playlist.keys.push(KeyNote { from_sequence, method: key.method.to_string(), url });
        }
        Ok(())
    }
}

fn whole(line: usize, tag: &'static str, value: &str, max: u64) -> Result<u64, PlaylistError> {
    let digits = value.trim();
    let number = digits.parse().ok().filter(|number| *number <= max && !digits.starts_with('+'));
    number.ok_or_else(|| {
        PlaylistError::line(
            line,
            tag,
            value,
            "a whole number that leaves room below 2^53, or 2^32 for discontinuities",
        )
    })
}

/// A day is the longest time that is taken for real.
fn seconds(line: usize, tag: &'static str, value: &str) -> Result<f64, PlaylistError> {
    let digits = value.trim();
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: Option<f64> =
        digits.parse().ok().filter(|number| decimal && (0.0..=86_400.0).contains(number));
    number.ok_or_else(|| PlaylistError::line(line, tag, value, "seconds in decimal, from 0 to 86400"))
}
