use super::*;

const SECOND: Span = Span::from_secs(1);

fn item() -> Item {
    Item {
        priority: 5,
        ahead_of_want: 0,
        need_in: SECOND * 20,
        duration: SECOND * 4,
        expected_bytes: Some(500_000),
        missing_for: Span::ZERO,
        slot: 0,
        swarm_in_sight: true,
        http_blocked: false,
        announced: false,
        peer_span: None,
    }
}

fn choose_with(loader: &LoaderConfig, company: Company, item: Item) -> Choice {
    View { loader, company, http_bps: Some(8_000_000), http_forbidden: false }.choose(&item)
}

fn choose(company: Company, item: Item) -> Choice {
    choose_with(&LoaderConfig::default(), company, item)
}

fn random() -> LoaderConfig {
    LoaderConfig { coordination: Coordination::Random, ..LoaderConfig::default() }
}

#[test]
fn a_lone_viewer_plays_as_without_us() {
    assert_eq!(choose(Company::Alone, item()), Choice::Http(HttpReason::Alone));
    let ahead = Item { ahead_of_want: 1, ..item() };
    assert_eq!(choose(Company::Alone, ahead), Choice::Idle, "nothing is fetched for nobody");
}

#[test]
fn the_segment_needed_now_never_waits_for_company() {
    let needed = Item { priority: 0, need_in: Span::ZERO, ..item() };
    for company in [Company::Connected, Company::Expected { left: CONNECT_PATIENCE + SECOND }, Company::Alone]
    {
        assert!(matches!(choose(company, needed), Choice::Http(_)), "{company:?}");
    }
}

#[test]
fn promised_peers_get_the_time_that_costs_nothing() {
    let expected = Company::Expected { left: CONNECT_PATIENCE + SECOND * 3 };
    let item = || Item { need_in: SECOND * 10, ..item() };
    assert_eq!(choose(expected, item()), Choice::Wait(SECOND * 3));
    // 500,000 bytes at 8 Mbit/s take 0.5 s: twice that and the margin are kept free.
    let soon = Item { need_in: SECOND * 2, ..item() };
    assert_eq!(choose(expected, soon), Choice::Wait(SECOND / 2));
    let over = Company::Expected { left: Span::ZERO };
    assert_eq!(choose(over, item()), Choice::Http(HttpReason::Alone));
    // Whoever has plenty gives them longer, and keeps plenty.
    let late = Company::Expected { left: SECOND * 5 };
    let later = |need_in| choose(late, Item { need_in, ..item() });
    assert_eq!(later(SECOND * 23 / 2), Choice::Http(HttpReason::Alone));
    assert_eq!(later(SECOND * 27 / 2), Choice::Wait(SECOND * 2));
    assert_eq!(later(SECOND * 60), Choice::Wait(SECOND * 5));
}

#[test]
fn a_peer_is_preferred_while_there_is_time() {
    let held = Item { peer_span: Some(PeerSpan::Unknown), announced: true, ..item() };
    assert_eq!(choose(Company::Connected, held), Choice::Peer);
    let thin = Item { need_in: SECOND, ..held };
    assert_eq!(choose(Company::Connected, thin), Choice::Http(HttpReason::Deadline));
    let quick = Item { peer_span: Some(PeerSpan::About(SECOND / 4)), ..thin };
    assert_eq!(choose(Company::Connected, quick), Choice::Peer, "a peer as quick as HTTP is as safe");
    let slow = Item { peer_span: Some(PeerSpan::About(SECOND * 5)), ..thin };
    assert_eq!(choose(Company::Connected, slow), Choice::Http(HttpReason::Deadline));
}

#[test]
fn p2p_download_max_priority_bounds_peers() {
    let held = Item { peer_span: Some(PeerSpan::Unknown), announced: true, ..item() };
    let loader = LoaderConfig { p2p_download_max_priority: 4, ..LoaderConfig::default() };
    assert!(matches!(choose_with(&loader, Company::Connected, held), Choice::Wait(_)));
    let loader = LoaderConfig { p2p_download_max_priority: 5, ..loader };
    assert_eq!(choose_with(&loader, Company::Connected, held), Choice::Peer);
}

#[test]
fn only_the_elected_fetches_and_the_others_take_their_turn() {
    assert_eq!(choose(Company::Connected, item()), Choice::Http(HttpReason::Elected));
    let second = Item { slot: PARTS_OF_SLOT, ..item() };
    assert_eq!(choose(Company::Connected, second), Choice::Wait(SECOND));
    let third = Item { slot: 2 * PARTS_OF_SLOT, missing_for: SECOND, ..item() };
    assert_eq!(choose(Company::Connected, third), Choice::Wait(SECOND));
    let its_turn = Item { slot: 2 * PARTS_OF_SLOT, missing_for: SECOND * 2, ..item() };
    assert_eq!(choose(Company::Connected, its_turn), Choice::Http(HttpReason::Elected));
    let announced = Item { announced: true, ..its_turn };
    assert!(matches!(choose(Company::Connected, announced), Choice::Wait(_)));
}

#[test]
fn the_draw_interval_is_the_width_of_a_turn() {
    let loader = LoaderConfig { http_download_probability_interval: 300, ..LoaderConfig::default() };
    let second = Item { slot: PARTS_OF_SLOT, ..item() };
    assert_eq!(choose_with(&loader, Company::Connected, second), Choice::Wait(Span::from_millis(300)));
}

#[test]
fn turns_are_longer_where_a_fetch_is_not_heard_of() {
    let second = |need_in| {
        let item = Item { slot: PARTS_OF_SLOT, swarm_in_sight: false, need_in, ..item() };
        choose(Company::Connected, item)
    };
    assert_eq!(second(SECOND * 60), Choice::Wait(SECOND * 6));
    // Of what is needed sooner they take a sixth of the time that is left: 3 s here, less 1.5 s for HTTP.
    assert_eq!(second(SECOND * 195 / 10), Choice::Wait(SECOND * 3));
    assert_eq!(second(SECOND * 45 / 10), Choice::Wait(SECOND / 2));
}

#[test]
fn turns_shrink_when_time_is_short() {
    let hurried = Item { slot: PARTS_OF_SLOT, need_in: SECOND * 2700 / 1000, priority: 1, ..item() };
    let Choice::Wait(wait) = choose(Company::Connected, hurried) else { panic!("not its turn yet") };
    assert_eq!(wait, Span::from_millis(200), "a sixth of the slack of 1.2 s");
}

#[test]
fn http_download_max_priority_and_probability_bound_early_http() {
    let loader = LoaderConfig { http_download_max_priority: 4, ..LoaderConfig::default() };
    assert!(matches!(choose_with(&loader, Company::Connected, item()), Choice::Wait(_)));
    let loader = LoaderConfig { http_download_probability: 0.0, ..LoaderConfig::default() };
    assert!(matches!(choose_with(&loader, Company::Connected, item()), Choice::Wait(_)));
    let required = Item { priority: 1, ..item() };
    assert_eq!(
        choose_with(&loader, Company::Connected, required),
        Choice::Http(HttpReason::Elected),
        "a required segment is fetched whatever the chance"
    );
}

#[test]
fn required_segments_priority_decides_without_coordination() {
    let loader = random();
    assert!(matches!(choose_with(&loader, Company::Connected, item()), Choice::Wait(_)));
    let loader = LoaderConfig { required_segments_priority: 5, ..loader };
    assert_eq!(choose_with(&loader, Company::Connected, item()), Choice::Http(HttpReason::Required));
}

#[test]
fn little_is_fetched_ahead_and_nothing_where_there_is_enough_to_play() {
    let short = AMPLE / 2;
    assert!(is_due(PREFETCH_SEGMENTS, short, true) && is_due(PREFETCH_SEGMENTS, AMPLE, false));
    assert!(!is_due(PREFETCH_SEGMENTS + 1, short, true) && !is_due(PREFETCH_SEGMENTS + 1, short, false));
    assert!(!is_due(1, AMPLE, true));
    let held = Item { peer_span: Some(PeerSpan::Unknown), announced: true, ahead_of_want: 9, ..item() };
    assert_eq!(choose_with(&random(), Company::Connected, held), Choice::Peer, "by the settings alone");
}

#[test]
fn a_failed_segment_is_left_alone_ahead_of_need() {
    let blocked = Item { http_blocked: true, ahead_of_want: 1, ..item() };
    assert_eq!(choose(Company::Connected, blocked), Choice::Idle);
    let held = Item { peer_span: Some(PeerSpan::Unknown), need_in: Span::ZERO, ..blocked };
    assert_eq!(choose(Company::Connected, held), Choice::Peer, "any peer is better than a failed origin");
}

#[test]
fn the_start_up_mode_forbids_http_but_not_peers() {
    let loader = LoaderConfig::default();
    let view = View { loader: &loader, company: Company::Connected, http_bps: None, http_forbidden: true };
    let needed = Item { priority: 0, need_in: Span::ZERO, ..item() };
    assert_eq!(view.choose(&needed), Choice::Idle);
    assert_eq!(view.choose(&Item { peer_span: Some(PeerSpan::Unknown), ..needed }), Choice::Peer);
}

fn progress() -> Progress {
    Progress {
        need_in: SECOND,
        required: true,
        running_for: SECOND,
        asked_for: SECOND,
        left: Some(SECOND / 10),
        http_span: SECOND / 2,
        http_blocked: false,
    }
}

fn review(progress: &Progress) -> Review {
    let loader = LoaderConfig::default();
    View { loader: &loader, company: Company::Connected, http_bps: Some(8_000_000), http_forbidden: false }
        .review(progress)
}

#[test]
fn a_download_that_will_make_it_is_kept() {
    assert!(matches!(review(&progress()), Review::Keep(_)));
    assert!(matches!(review(&Progress { need_in: SECOND * 30, left: None, ..progress() }), Review::Keep(_)));
}

#[test]
fn a_download_that_will_not_make_it_is_replaced() {
    assert!(matches!(review(&Progress { left: Some(SECOND * 8), ..progress() }), Review::Fallback(_)));
    assert!(matches!(review(&Progress { left: None, ..progress() }), Review::Fallback(_)));
    let not_needed = Progress { required: false, left: None, ..progress() };
    assert!(matches!(review(&not_needed), Review::Keep(_)));
    let no_http = Progress { http_blocked: true, left: None, ..progress() };
    assert!(matches!(review(&no_http), Review::Keep(_)));
}

#[test]
fn what_is_asked_of_a_peer_late_is_what_would_be_left_to_it() {
    let http_span = SECOND;
    for (need_ms, span_ms) in [(1100, 540), (1100, 560), (0, 450), (0, 550), (1400, 690), (1400, 710)] {
        let (need_in, span) = (Span::from_millis(need_ms), Span::from_millis(span_ms));
        let peer_span = Some(PeerSpan::About(span));
        let late = Item { need_in, priority: 0, peer_span, expected_bytes: Some(1_000_000), ..item() };
        let asked = choose(Company::Connected, late) == Choice::Peer;
        let begun = Progress { need_in, left: Some(span), http_span, ..progress() };
        assert_eq!(asked, matches!(review(&begun), Review::Keep(_)), "{need_ms} ms, {span_ms} ms");
        assert_eq!(asked, span_ms * 2 <= need_ms || span_ms * 2 <= 1000, "{need_ms} ms, {span_ms} ms");
    }
    // Until it can have answered nothing says that it will not keep to it.
    let asked = Progress { need_in: Span::ZERO, left: None, asked_for: SECOND / 10, ..progress() };
    assert!(matches!(review(&asked), Review::Keep(_)));
}

#[test]
fn p2p_segment_download_timeout_gives_the_peer_up() {
    let old = Progress { running_for: SECOND * 61, ..progress() };
    assert!(matches!(review(&old), Review::GiveUp(_)));
    let loader = LoaderConfig { p2p_segment_download_timeout: 500, ..LoaderConfig::default() };
    let view = View { loader: &loader, company: Company::Connected, http_bps: None, http_forbidden: false };
    assert!(matches!(view.review(&progress()), Review::GiveUp(_)));
}

#[test]
fn random_draws_follow_the_settings() {
    let loader = LoaderConfig { http_download_probability: 0.06, ..random() };
    assert_eq!(random_draw(&loader, 1, 10, 0.59, 0.0), Some(0), "ten candidates make 0.6");
    assert_eq!(random_draw(&loader, 1, 10, 0.61, 0.0), None);
    assert_eq!(random_draw(&loader, 1, 10, 0.0, 0.999), Some(9));
    assert_eq!(random_draw(&loader, 1, 0, 0.0, 0.0), None);
    assert_eq!(random_draw(&loader, 0, 10, 0.0, 0.0), Some(0), "without peers as well");
    let skip = LoaderConfig { http_download_probability_skip_if_no_peers: true, ..loader };
    assert_eq!(random_draw(&skip, 0, 10, 0.0, 0.0), None);
    assert_eq!(random_draw(&skip, 1, 10, 0.0, 0.0), Some(0));
}
