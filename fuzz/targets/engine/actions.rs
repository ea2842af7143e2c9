//! What may happen to an engine.

use hlswarm::config::Config;
use hlswarm::engine::{
    FetchError, HttpHead, Input, LinkCloseCause, Playhead, SegmentInfo, TimelineUpdate, TrackKind,
};
use hlswarm::id::{ByteRange, Id20, LinkId, RequestId, SegmentKey, TrackId, TrackerId, TransferId};
use hlswarm::time::Span;
use hlswarm::wire::{
    Capabilities, DataHead, Frame, GoodbyeReason, HaveEntry, HaveState, Interest, RefuseReason, encode,
    encode_data_head,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::shell::{Link, Shell};

type Input8<'a, 'b> = &'a mut Unstructured<'b>;

/// An engine with some of the options that change its ways, a playlist, a tracker, and perhaps peers.
pub fn start(input: Input8<'_, '_>) -> Result<Shell> {
    let mut config = Config::default();
    let switches: u16 = input.arbitrary()?;
    let on = |bit: u16| switches >> bit & 1 == 1;
    let loader = &mut config.loader;
    loader.tracker_announce =
        ["wss://a.example/", "wss://b.example/"].map(|url| vec![url.to_owned()]).to_vec();
    loader.http_download_ranges = on(0);
    loader.consume_only = on(1) && on(2);
    loader.consent_required = on(3) && on(4);
    loader.relay_only = on(5) && on(6);
    loader.min_swarm_size = if on(7) && on(8) { 3 } else { 0 };
    loader.cache_bytes = if on(9) { 65_536 } else { 4 << 20 };
    loader.cached_segments_count = if on(10) { 2 } else { 30 };
    loader.upload_bytes_per_second = if on(11) { 50_000 } else { 0 };
    loader.upload_bytes_total = if on(12) { 300_000 } else { 0 };
    if on(13) {
        loader.coordination = hlswarm::config::Coordination::Random;
    }
    let mut shell = Shell::new(config, on(14));
    shell.input(Input::Tick);
    shell.input(Input::Timeline(TimelineUpdate {
        track: TrackId(1),
        kind: TrackKind::Main,
        live: on(15),
        bitrate_bps: Some(200_000),
        segments: (0..20).map(|sequence| segment(sequence, 0, None)).collect(),
    }));
    if shell.gated {
        return Ok(shell);
    }
    shell.input(Input::TrackerUp { tracker: TrackerId(0) });
    shell.input(Input::TrackerText { tracker: TrackerId(0), text: reply(&shell, 5) });
    for peer in 0..input.int_in_range(0..=3u8)? {
        let before: Vec<LinkId> = shell.links.keys().copied().collect();
        shell.input(Input::TrackerText { tracker: TrackerId(0), text: offer(&shell, peer) });
        let Some(link) = shell.links.keys().copied().find(|link| !before.contains(link)) else { continue };
        shell.input(Input::AnswerReady { link, sdp: "v=0\r\n".to_owned() });
        shell.input(Input::LinkUp { link, max_message_bytes: 262_144 });
        let hello = encode(&hello(&shell, peer_id(peer)));
        shell.input(Input::Control { link, frame: hello });
    }
    Ok(shell)
}

/// One thing happens.
pub fn step(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    match input.int_in_range(0..=23u8)? {
        0 | 1 => {
            let span = Span::from_millis(input.int_in_range(0..=3_000u64)?);
            shell.advance(shell.now + span);
        }
        2 => {
            let span = Span::from_secs(input.int_in_range(0..=900u64)?);
            shell.advance(shell.now + span);
        }
        3 => timeline(shell, input)?,
        4 => shell.input(Input::Playhead(Playhead {
            position_ms: input.int_in_range(-10_000..=100_000i64)?,
            rate_milli: *input.choose(&[0, 1000, 1000, 2000, u32::MAX])?,
            buffered_ms: input.int_in_range(0..=40_000u32)?,
        })),
        5..=7 => {
            let request = RequestId(shell.requests.last().map_or(1, |last| last.0.saturating_add(1)));
            let key = key(input)?;
            shell.input(Input::Want { request, key });
        }
        8 => {
            let request = RequestId(input.int_in_range(0..=20u32)?);
            shell.input(Input::Cancel { request });
        }
        9..=11 => http(shell, input)?,
        12 => tracker(shell, input)?,
        13 => link(shell, input)?,
        14..=17 => control(shell, input)?,
        18..=20 => data(shell, input)?,
        21 => {
            if let Some(blob) = shell.verifying.pop() {
                shell.input(Input::Verified { blob, ok: input.arbitrary()? });
            }
        }
        22 => page(shell, input)?,
        _ => {
            let mut links =
                shell.links.iter().filter(|(_, state)| **state == Link::Up).map(|(link, _)| *link);
            if let Some(link) = links.next() {
                shell.input(Input::LinkWritable { link });
            }
        }
    }
    Ok(())
}

fn segment(sequence: u64, discontinuity: u32, byte_range: Option<ByteRange>) -> SegmentInfo {
    SegmentInfo {
        discontinuity,
        sequence,
        start_ms: sequence as i64 * 4000,
        duration_ms: 4000,
        url: format!("https://cdn.example/{sequence}.ts").into(),
        byte_range,
    }
}

fn key(input: Input8<'_, '_>) -> Result<SegmentKey> {
    let odd: bool = input.ratio(1, 16)?;
    Ok(SegmentKey {
        track: TrackId(if odd { input.arbitrary()? } else { 1 }),
        discontinuity: if odd { input.arbitrary()? } else { 0 },
        sequence: if odd { input.arbitrary()? } else { input.int_in_range(0..=24)? },
    })
}

fn timeline(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let mut sequence = if input.ratio(1, 8)? { input.arbitrary()? } else { input.int_in_range(0..=20u64)? };
    let mut segments = Vec::new();
    for _ in 0..input.int_in_range(0..=12u8)? {
        let range =
            input.ratio(1, 6)?.then_some(ByteRange { start: input.arbitrary()?, end: input.arbitrary()? });
        let mut next = segment(sequence.min(1 << 40), u32::from(input.ratio(1, 10)?), range);
        if input.ratio(1, 10)? {
            next.start_ms = input.arbitrary()?;
            next.duration_ms = input.arbitrary()?;
        }
        next.sequence = sequence;
        segments.push(next);
        sequence = sequence.wrapping_add(1);
    }
    let odd: bool = input.ratio(1, 4)?;
    shell.input(Input::Timeline(TimelineUpdate {
        track: TrackId(1 + u64::from(odd)),
        kind: if odd { TrackKind::Audio } else { TrackKind::Main },
        live: input.arbitrary()?,
        bitrate_bps: input.arbitrary()?,
        segments,
    }));
    Ok(())
}

fn http(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let open: Vec<_> = shell.fetches.iter().map(|(fetch, range)| (*fetch, *range)).collect();
    if open.is_empty() {
        return Ok(());
    }
    let (fetch, range) = *input.choose(&open)?;
    match input.int_in_range(0..=7u8)? {
        0 | 1 => {
            let usual = if range.is_some() { 206 } else { 200 };
            let head = HttpHead {
                status: if input.ratio(1, 8)? { input.arbitrary()? } else { usual },
                body_bytes: if input.ratio(1, 8)? { input.arbitrary()? } else { Some(100_000) },
                content_range: if input.ratio(1, 8)? {
                    Some(ByteRange { start: input.arbitrary()?, end: input.arbitrary()? })
                } else {
                    None
                },
            };
            shell.input(Input::FetchOpened { fetch, head });
        }
        2..=4 => shell.body(fetch, input.int_in_range(1..=120_000u32)?),
        5 | 6 => shell.input(Input::FetchDone { fetch }),
        _ => {
            let error = match input.int_in_range(0..=2u8)? {
                0 => FetchError::Status(input.arbitrary()?),
                1 => FetchError::Network("reset".to_owned()),
                _ => FetchError::Timeout,
            };
            shell.input(Input::FetchFailed { fetch, error });
        }
    }
    Ok(())
}

fn peer_id(peer: u8) -> Id20 {
    let mut id = *b"-HS0100-aaaaaaaaaaaa";
    id[19] = b'a' + peer % 26;
    Id20(id)
}

fn hash(shell: &Shell) -> String {
    shell.engine.swarm_id().0.to_latin1()
}

fn reply(shell: &Shell, viewers: u32) -> String {
    let hash = hash(shell);
    format!(
        "{{\"action\":\"announce\",\"info_hash\":\"{hash}\",\"interval\":120,\"complete\":0,\"incomplete\":{viewers},\"trickle\":true}}"
    )
}

fn offer(shell: &Shell, peer: u8) -> String {
    let (hash, id) = (hash(shell), peer_id(peer).to_latin1());
    format!(
        "{{\"action\":\"announce\",\"info_hash\":\"{hash}\",\"peer_id\":\"{id}\",\"offer_id\":\"o{peer}\",\"offer\":{{\"type\":\"offer\",\"sdp\":\"v=0\"}}}}"
    )
}

fn tracker(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let tracker = TrackerId(input.int_in_range(0..=2u32)?);
    let event = match input.int_in_range(0..=5u8)? {
        0 => Input::TrackerUp { tracker },
        1 => Input::TrackerDown { tracker, why: "gone".to_owned() },
        2 => Input::TrackerText { tracker, text: reply(shell, input.arbitrary()?) },
        3 => Input::TrackerText { tracker, text: offer(shell, input.arbitrary()?) },
        4 => {
            let (hash, id) = (hash(shell), peer_id(input.arbitrary()?).to_latin1());
            let offer = shell.offer_ids.last().cloned().unwrap_or_default();
            let text = format!(
                "{{\"action\":\"announce\",\"info_hash\":\"{hash}\",\"peer_id\":\"{id}\",\"offer_id\":\"{offer}\",\"answer\":{{\"type\":\"answer\",\"sdp\":\"v=0\"}}}}"
            );
            Input::TrackerText { tracker, text }
        }
        _ => Input::TrackerText { tracker, text: input.arbitrary::<&str>()?.to_owned() },
    };
    shell.input(event);
    Ok(())
}

fn link(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let links: Vec<_> = shell.links.iter().map(|(link, state)| (*link, *state)).collect();
    if links.is_empty() {
        return Ok(());
    }
    let (link, state) = *input.choose(&links)?;
    if input.ratio(1, 4)? {
        let cause = match input.int_in_range(0..=2u8)? {
            0 => LinkCloseCause::Remote,
            1 => LinkCloseCause::Failed("ice".to_owned()),
            _ => LinkCloseCause::BadDescription("sdp".to_owned()),
        };
        shell.input(Input::LinkDown { link, cause });
        return Ok(());
    }
    let sdp =
        if input.ratio(1, 4)? { "v=0\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" } else { "v=0\r\n" };
    match state {
        Link::Offering => shell.input(Input::OfferReady { link, sdp: sdp.to_owned() }),
        Link::Answering => shell.input(Input::AnswerReady { link, sdp: sdp.to_owned() }),
        Link::Described if input.ratio(1, 4)? => {
            shell
                .input(Input::LocalCandidates { link, candidates: vec!["{\"candidate\":\"x\"}".to_owned()] });
        }
        Link::Described => {
            let max_message_bytes = if input.ratio(1, 8)? { input.arbitrary()? } else { 262_144 };
            shell.input(Input::LinkUp { link, max_message_bytes });
            let hello = encode(&hello(shell, peer_id(input.arbitrary()?)));
            if shell.links.get(&link) == Some(&Link::Up) {
                shell.input(Input::Control { link, frame: hello });
            }
        }
        Link::Up => {}
    }
    Ok(())
}

fn hello(shell: &Shell, peer: Id20) -> Frame {
    Frame::Hello {
        min_version: 1,
        max_version: 1,
        capabilities: Capabilities::UPLOADS.with(Capabilities::CUT_THROUGH),
        swarm: shell.engine.swarm_id(),
        peer,
        max_message_bytes: 65_535,
    }
}

fn some_up(shell: &Shell, input: Input8<'_, '_>) -> Result<Option<LinkId>> {
    let up: Vec<LinkId> =
        shell.links.iter().filter(|(_, state)| **state == Link::Up).map(|(link, _)| *link).collect();
    if up.is_empty() { Ok(None) } else { input.choose(&up).copied().map(Some) }
}

/// A transfer that we asked this peer for, as a rule.
fn transfer(shell: &Shell, link: LinkId, input: Input8<'_, '_>) -> Result<TransferId> {
    let ours: Vec<_> = shell.asked.iter().rev().filter(|(on, _)| *on == link).take(4).collect();
    if ours.is_empty() || input.ratio(1, 10)? {
        return Ok(TransferId(input.arbitrary()?));
    }
    Ok(input.choose(&ours)?.1)
}

fn control(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let Some(link) = some_up(shell, input)? else { return Ok(()) };
    let states = [
        HaveState::Loaded,
        HaveState::Loaded,
        HaveState::FetchingHttp,
        HaveState::FetchingP2p,
        HaveState::Gone,
    ];
    let frame = match input.int_in_range(0..=12u8)? {
        0 | 1 => {
            let mut entries = Vec::new();
            for _ in 0..input.int_in_range(1..=8u8)? {
                entries.push(HaveEntry { key: key(input)?, state: *input.choose(&states)? });
            }
            encode(&Frame::HaveDelta { entries })
        }
        2 => {
            let loaded = input.bytes(4)?.to_vec();
            let SegmentKey { track, discontinuity, sequence } = key(input)?;
            encode(&Frame::Have { track, discontinuity, first_sequence: sequence, loaded })
        }
        3 | 4 => encode(&Frame::Request {
            transfer: TransferId(input.int_in_range(0..=40u32)?),
            key: key(input)?,
            resource_offset: if input.ratio(1, 8)? { input.arbitrary()? } else { 0 },
            at: if input.ratio(1, 4)? { input.arbitrary()? } else { 0 },
            len: if input.ratio(1, 4)? { input.arbitrary()? } else { 0 },
        }),
        5 | 6 => {
            let total_bytes = if input.ratio(1, 4)? { input.arbitrary()? } else { 100_000 };
            encode(&Frame::Accept { transfer: transfer(shell, link, input)?, total_bytes })
        }
        7 => {
            let reasons = [
                RefuseReason::Absent,
                RefuseReason::Busy,
                RefuseReason::NotSharing,
                RefuseReason::Aborted,
                RefuseReason::RateLimited,
            ];
            encode(&Frame::Refuse {
                transfer: transfer(shell, link, input)?,
                reason: *input.choose(&reasons)?,
            })
        }
        8 => encode(&Frame::Cancel { transfer: TransferId(input.int_in_range(0..=40u32)?) }),
        9 => encode(&Frame::Interest(Interest {
            track: TrackId(1),
            playing_sequence: input.arbitrary()?,
            wanted_sequence: input.arbitrary()?,
            serves: input.arbitrary()?,
        })),
        10 => {
            let nonce = input.arbitrary()?;
            let ping: bool = input.arbitrary()?;
            encode(&if ping { Frame::Ping { nonce } } else { Frame::Pong { nonce } })
        }
        11 => {
            if input.ratio(1, 2)? {
                encode(&Frame::Goodbye { reason: GoodbyeReason::Leaving })
            } else {
                encode(&Frame::Extension { kind: hlswarm::wire::SHARING, body: vec![input.arbitrary()?] })
            }
        }
        _ => {
            let length = input.arbitrary_len::<u8>()?.min(300);
            input.bytes(length)?.to_vec()
        }
    };
    shell.input(Input::Control { link, frame });
    Ok(())
}

fn data(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let Some(link) = some_up(shell, input)? else { return Ok(()) };
    let at = if input.ratio(1, 8)? { input.arbitrary()? } else { input.int_in_range(0..=2u32)? * 50_000 };
    let head = encode_data_head(DataHead { transfer: transfer(shell, link, input)?, at });
    let len = if input.ratio(1, 10)? { input.arbitrary()? } else { 50_000 + head.len() as u32 };
    let seen = if input.ratio(1, 16)? { input.int_in_range(0..=head.len())? } else { head.len() };
    shell.frame(link, &head[..seen], len.max(seen as u32));
    Ok(())
}

fn page(shell: &mut Shell, input: Input8<'_, '_>) -> Result<()> {
    let on: bool = input.arbitrary()?;
    let event = match input.int_in_range(0..=9u8)? {
        0 | 1 => Input::Network { online: on, metered: input.arbitrary()? },
        2 | 3 => Input::Visibility { hidden: on },
        4 | 5 => Input::UseP2p { enabled: on },
        6 | 7 => Input::Consent { given: on },
        8 => Input::Tick,
        _ if on => Input::Shutdown,
        _ => Input::Tick,
    };
    shell.input(event);
    Ok(())
}
