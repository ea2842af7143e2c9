//! Carries out HTTP downloads: start, response head, bytes, end.

use crate::id::{ByteRange, FetchId, SegmentKey};
use crate::schedule::download::{Download, HttpSource, Total};
use crate::time::{Span, Time};
use crate::wire::HaveState;

use super::Engine;
use super::io::{FetchError, HttpHead, Output, Placement};

/// What to do with an HTTP response, judged by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its body is what was asked for; the segment's length, if that is certain now.
    Fits { segment_bytes: Option<u64> },
    /// The server ignored `Range`: its body is the whole resource.
    WholeResource { leave_out: u64, segment_bytes: u64 },
    /// It does not continue the bytes that are there: begin again without them.
    StartOver,
    /// It is not the segment.
    Wrong(&'static str),
}

/// Holds a response head against what was asked for. Bytes are never joined on a guess: a continuation must state
/// a length that agrees with the length the segment was said to have.
fn judge(download: &Download, http: &HttpSource, head: &HttpHead) -> Verdict {
    let Some(range) = http.range else {
        return match head.status {
            206 => Verdict::Wrong("206 without a Range request"),
            _ => Verdict::Fits { segment_bytes: head.body_bytes },
        };
    };
    let resumes = http.base > 0;
    let mismatch = |why| if resumes { Verdict::StartOver } else { Verdict::Wrong(why) };
    let total = download.total.bytes();
    if head.status != 206 {
        let resource_bytes_fit = match (range.end, head.body_bytes, total) {
            // An open range continues a segment that is the whole resource.
            (u64::MAX, Some(body), Some(total)) => body == total,
            (u64::MAX, ..) => false,
            (end, body, _) => body.is_none_or(|body| body >= end),
        };
        return match total {
            Some(segment_bytes) if resource_bytes_fit => {
                Verdict::WholeResource { leave_out: range.start, segment_bytes }
            }
            _ => mismatch("a resource shorter than the byte range"),
        };
    }
    let starts_right = head.content_range.is_none_or(|got| got.start == range.start);
    let ends_right = head.content_range.is_none_or(|got| range.end == u64::MAX || got.end == range.end);
    let expected = total.map(|total| total.min(http.stop).saturating_sub(http.base));
    let length_fits = match (head.body_bytes, range.end) {
        (Some(body), _) => Some(body) == expected,
        // Without a length only a closed range is sure to end where the segment ends.
        (None, end) => end != u64::MAX,
    };
    if starts_right && ends_right && length_fits {
        Verdict::Fits { segment_bytes: total }
    } else {
        mismatch("another byte range than was asked for")
    }
}

/// After this long hls.js tries a failed segment again.
const PLAYER_RETRY: Span = Span::from_secs(1);

/// How long no `Range` is asked for after a failure that may have been the network's.
const RANGE_PAUSE: Span = Span::from_secs(60);

impl Engine {
    /// Starts an HTTP download of a segment, continuing what peers brought if the settings allow it. Transfers from
    /// peers must have been given up before.
    pub(super) fn start_http(&mut self, key: SegmentKey) {
        let Some(segment) = self.timeline.segment(key) else { return };
        let url = segment.url.to_string();
        let byte_range = segment.byte_range;
        let base = self.resume_base(key);
        let stop = self.stop_before(key, base);
        if base == 0 && stop == u64::MAX {
            self.restart(key);
        }
        let offset = byte_range.map_or(0, |range| range.start);
        let range = match byte_range {
            _ if stop < u64::MAX => Some(ByteRange { start: offset + base, end: offset + stop }),
            Some(range) => Some(ByteRange { start: offset + base, end: range.end }),
            None if base > 0 => Some(ByteRange { start: base, end: u64::MAX }),
            None => None,
        };
        let fetch = self.new_fetch();
        let now = self.now;
        if let Some(download) = self.downloads.get_mut(key) {
            download.http = Some(HttpSource {
                fetch,
                base,
                next: base,
                range,
                stop,
                leave_out: 0,
                opened: false,
                started: now,
                last_progress: now,
            });
        }
        self.downloads.bind_fetch(fetch, key);
        // Nobody vouches for what peers brought of it.
        let state = if base == 0 { HaveState::FetchingHttp } else { HaveState::FetchingP2p };
        self.swarm.set_state(now, key, state);
        self.outbox.push_back(Output::Fetch { fetch, key, url, range });
    }

    /// Whether the origin may be asked for a part of a resource.
    pub(super) fn takes_ranges(&self) -> bool {
        self.no_ranges_until <= self.now
    }

    /// Sends no `Range` for now if a failure before the response may mean that the server takes none, or that its CORS preflight
    /// does not let it through. Tells whether it may.
    fn note_refused_range(&mut self, error: &FetchError) -> bool {
        self.no_ranges_until = match error {
            FetchError::Network(_) => self.now + RANGE_PAUSE,
            FetchError::Status(400 | 405 | 416 | 501) => Time::MAX,
            _ => return false,
        };
        true
    }

    /// From where HTTP may continue: the end of what peers brought from the beginning on, when the length is told and
    /// the settings allow it. The download is open-ended and stopped when every gap is filled: only its length to the
    /// end of the segment is evidence that both speak of the same bytes.
    fn resume_base(&self, key: SegmentKey) -> u64 {
        let Some(download) = self.downloads.get(key) else { return 0 };
        let prefix = download.received.contiguous_end(0);
        let fits = download.total.bytes().is_some_and(|total| prefix < total);
        // Where every block is known to be right, nothing is guessed.
        let wished = self.config.loader.http_download_ranges || self.guard.is_signed();
        if wished && self.takes_ranges() && fits && self.may_splice(key) { prefix } else { 0 }
    }

    /// Where a continuation may end because what follows is there and known to be right; `u64::MAX` for nowhere.
    fn stop_before(&self, key: SegmentKey, base: u64) -> u64 {
        let Some(download) = self.downloads.get(key).filter(|_| self.guard.is_signed()) else {
            return u64::MAX;
        };
        let gap =
            download.total.bytes().and_then(|total| Some((download.received.first_gap(base, total)?, total)));
        match gap {
            Some(((_, end), total)) if end < total && self.takes_ranges() => end,
            _ => u64::MAX,
        }
    }

    /// Makes sure that a download exists whose blob is empty.
    pub(super) fn restart(&mut self, key: SegmentKey) {
        if self.downloads.get(key).is_some_and(|download| download.received.is_empty()) {
            return;
        }
        let known_bytes = self.certain_bytes(key);
        let blob = self.new_blob();
        let now = self.now;
        let Some(download) = self.downloads.get_mut(key) else {
            self.downloads.insert(Download::new(now, key, blob, known_bytes));
            return;
        };
        self.totals.wasted_bytes += download.received.len();
        let old = download.blob;
        download.restart(blob, known_bytes);
        self.outbox.push_back(Output::DropBlob { blob: old });
        self.forget_uploads(key, true);
    }

    pub(super) fn fetch_opened(&mut self, fetch: FetchId, head: HttpHead) {
        if self.spot_opened(fetch, &head) {
            return;
        }
        let now = self.now;
        let Some(download) = self.downloads.of_fetch(fetch) else { return };
        let key = download.key;
        let Some(http) = &download.http else { return };
        let verdict = judge(download, http, &head);
        let Some(http) = &mut download.http else { return };
        http.opened = true;
        http.last_progress = now;
        match verdict {
            Verdict::Fits { segment_bytes } => {
                if let Some(bytes) = segment_bytes {
                    download.total = Total::Known(bytes);
                    download.one_response = download.received.is_empty();
                }
            }
            Verdict::WholeResource { leave_out, segment_bytes } => {
                http.leave_out = leave_out;
                download.total = Total::Known(segment_bytes);
                download.one_response = download.received.is_empty();
            }
            Verdict::StartOver => {
                self.cancel_http(key);
                self.restart(key);
                self.start_http(key);
            }
            Verdict::Wrong(why) => {
                self.outbox.push_back(Output::CancelFetch { fetch });
                self.fetch_failed(fetch, FetchError::Network(why.to_owned()));
            }
        }
    }

    /// Where `len` arriving body bytes of an HTTP download belong. Bytes must be given in the order of the body.
    pub fn place_fetched(&mut self, now: Time, fetch: FetchId, len: u32) -> Placement {
        self.now = self.now.max(now);
        let now = self.now;
        let bytes = u64::from(len);
        if let Some(placement) = self.place_spot(fetch, len) {
            return placement;
        }
        let Some(download) = self.downloads.of_fetch(fetch) else {
            self.totals.wasted_bytes += bytes;
            return Placement::Discard;
        };
        let key = download.key;
        let Some(http) = &mut download.http else { return Placement::Discard };
        self.totals.http_bytes += bytes;
        http.last_progress = now;
        let left_out = http.leave_out.min(bytes);
        http.leave_out -= left_out;
        let at = http.next;
        http.next += bytes - left_out;
        let placed = download.accept(now, at, bytes - left_out);
        let Some((start, kept)) = placed else {
            self.totals.wasted_bytes += bytes;
            return Placement::Discard;
        };
        download.http_bytes += kept;
        let placement = Placement::At {
            blob: download.blob,
            at: start,
            skip: (left_out + (start - at)) as u32,
            len: kept as u32,
        };
        // A server that ignored `Range` would go on to the end of a resource that may be a whole film.
        let enough = download.is_whole() && matches!(&download.http, Some(http) if http.range.is_some());
        self.totals.wasted_bytes += bytes - kept;
        self.hash_complete(key, start, start + kept);
        self.bytes_arrived(key);
        if enough {
            self.complete(key);
        }
        placement
    }

    pub(super) fn fetch_done(&mut self, fetch: FetchId) {
        if self.spot_done(fetch) {
            return;
        }
        let Some(download) = self.downloads.of_fetch(fetch) else { return };
        let key = download.key;
        let Some(http) = &download.http else { return };
        let ended_at = http.next;
        let (span, bytes) = (self.now.since(http.started), http.next - http.base);
        match download.total {
            _ if ended_at == 0 => {
                return self.fetch_failed(fetch, FetchError::Network("an empty body".to_owned()));
            }
            Total::Known(total) if ended_at < total.min(http.stop) => {
                let why = format!("the body ended after {ended_at} of {total} bytes");
                return self.fetch_failed(fetch, FetchError::Network(why));
            }
            Total::Known(_) => {}
            Total::Unknown | Total::Claimed(_) => download.total = Total::Known(ended_at),
        }
        download.http = None;
        let whole = download.is_whole();
        self.downloads.unbind_fetch(fetch);
        self.http_rate.record(bytes, span);
        if whole {
            self.complete(key);
        } else {
            // A chunk reached over bytes of peers into the next gap; the planner has the rest fetched.
            self.dirty = true;
        }
    }

    pub(super) fn fetch_failed(&mut self, fetch: FetchId, error: FetchError) {
        if let Some(spot) = self.guard.spots.get_mut(&fetch) {
            spot.done = true;
            // There is nothing where peers say that the segment ends.
            if error == FetchError::Status(416) {
                return self.spot_wrong(fetch);
            }
            self.note_refused_range(&error);
            return self.spot_failed(fetch);
        }
        let Some(key) = self.downloads.unbind_fetch(fetch) else { return };
        self.dirty = true;
        let http = self.downloads.get(key).and_then(|download| download.http.as_ref());
        let continuation = http.is_some_and(|http| http.base > 0 && !http.opened);
        // That says nothing of the whole segment, which is asked for at once.
        if !(continuation && self.note_refused_range(&error)) {
            let wait = Span::from_millis(self.config.loader.http_failed_segment_timeout);
            // What the player waits for is tried again as soon as the player alone would try it.
            let wait = if self.downloads.is_wanted(key) { wait.min(PLAYER_RETRY) } else { wait };
            self.failed.insert(key, (self.now + wait, error));
        }
        let Some(download) = self.downloads.get_mut(key) else { return };
        download.http = None;
        if download.is_orphaned() {
            self.abandon(key);
        }
    }

    /// Stops the HTTP download of a segment, if one runs. What has arrived stays.
    pub(super) fn cancel_http(&mut self, key: SegmentKey) {
        let Some(http) = self.downloads.get_mut(key).and_then(|download| download.http.take()) else {
            return;
        };
        self.downloads.unbind_fetch(http.fetch);
        self.outbox.push_back(Output::CancelFetch { fetch: http.fetch });
    }

    /// Gives up HTTP downloads that bring nothing.
    pub(super) fn time_out_http(&mut self) {
        let now = self.now;
        let late: Vec<FetchId> =
            self.http_limits().filter(|(_, limit)| *limit <= now).map(|(fetch, _)| fetch).collect();
        for fetch in late {
            self.outbox.push_back(Output::CancelFetch { fetch });
            self.fetch_failed(fetch, FetchError::Timeout);
        }
    }

    /// Until when each HTTP download must bring something.
    pub(super) fn http_limits(&self) -> impl Iterator<Item = (FetchId, Time)> {
        let first_byte = Span::from_millis(self.config.loader.http_timeout_ms);
        let stall = Span::from_millis(self.config.loader.http_stall_timeout_ms);
        self.downloads.iter().filter_map(|download| download.http.as_ref()).map(move |http| {
            let limit = if http.opened { http.last_progress + stall } else { http.started + first_byte };
            (http.fetch, limit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BlobId, TrackId};

    fn download(base: u64, range: Option<ByteRange>, total: Total) -> (Download, HttpSource) {
        let key = SegmentKey { track: TrackId(1), discontinuity: 0, sequence: 1 };
        let mut download = Download::new(Time::ZERO, key, BlobId(1), None);
        download.total = total;
        let http = HttpSource {
            fetch: FetchId(1),
            base,
            next: base,
            range,
            stop: u64::MAX,
            leave_out: 0,
            opened: false,
            started: Time::ZERO,
            last_progress: Time::ZERO,
        };
        (download, http)
    }

    fn head(status: u16, body_bytes: Option<u64>) -> HttpHead {
        HttpHead { status, body_bytes, content_range: None }
    }

    #[test]
    fn a_plain_answer_gives_the_length() {
        let (download, http) = download(0, None, Total::Unknown);
        assert_eq!(judge(&download, &http, &head(200, Some(9))), Verdict::Fits { segment_bytes: Some(9) });
        assert_eq!(judge(&download, &http, &head(200, None)), Verdict::Fits { segment_bytes: None });
        assert!(matches!(judge(&download, &http, &head(206, Some(9))), Verdict::Wrong(_)));
    }

    #[test]
    fn a_continuation_must_fit_to_the_byte() {
        let open = Some(ByteRange { start: 40, end: u64::MAX });
        let (download, http) = download(40, open, Total::Claimed(100));
        let fits = Verdict::Fits { segment_bytes: Some(100) };
        assert_eq!(judge(&download, &http, &head(206, Some(60))), fits);
        assert_eq!(judge(&download, &http, &head(206, Some(61))), Verdict::StartOver);
        assert_eq!(judge(&download, &http, &head(206, Some(59))), Verdict::StartOver);
        assert_eq!(judge(&download, &http, &head(206, None)), Verdict::StartOver);
        let elsewhere = HttpHead {
            status: 206,
            body_bytes: Some(60),
            content_range: Some(ByteRange { start: 41, end: 101 }),
        };
        assert_eq!(judge(&download, &http, &elsewhere), Verdict::StartOver);
        let whole = Verdict::WholeResource { leave_out: 40, segment_bytes: 100 };
        assert_eq!(judge(&download, &http, &head(200, Some(100))), whole);
        assert_eq!(judge(&download, &http, &head(200, Some(101))), Verdict::StartOver);
    }

    #[test]
    fn a_byte_range_segment_takes_206_of_its_length_or_the_whole_resource() {
        let range = Some(ByteRange { start: 1000, end: 1500 });
        let (download, http) = download(0, range, Total::Known(500));
        assert_eq!(
            judge(&download, &http, &head(206, Some(500))),
            Verdict::Fits { segment_bytes: Some(500) }
        );
        assert!(matches!(judge(&download, &http, &head(206, Some(499))), Verdict::Wrong(_)));
        assert_eq!(
            judge(&download, &http, &head(200, Some(9000))),
            Verdict::WholeResource { leave_out: 1000, segment_bytes: 500 }
        );
        assert!(matches!(judge(&download, &http, &head(200, Some(1400))), Verdict::Wrong(_)));
    }
}
