//! What the tracker has to do, and the tests that show it. The table is checked: every test that it names is there.
//!
//! The files: `registry.rs` for clients that behave, `hostile.rs` for those that do not, `bounds.rs` for every bound at its
//! edge (all three on the registry, in simulated time), `server.rs` and `shutdown.rs` for the binary on sockets,
//! `autobahn` and `websocket.rs` for the codec; `tests/tracker` holds the same conversations with `bittorrent-tracker`.

use std::collections::BTreeSet;
use std::path::Path;

/// A behaviour and its tests.
const TABLE: &[(&str, &[&str])] = &[
    // What is taken.
    ("text and binary frames", &["binary_and_fragmented_messages_are_taken"]),
    (
        "fragmented messages up to 64 KiB",
        &["the_tracker_on_a_socket_passes_every_case", "violations_close_with_their_code"],
    ),
    ("every event of the reference, or none", &["every_event_of_the_reference_is_taken"]),
    ("left missing, null or any number", &["left_tells_who_has_everything"]),
    ("numwant optional", &["numwant_may_be_missing_or_anything"]),
    (
        "offer_id of any 64 characters, kept verbatim",
        &[
            "an_offer_id_has_at_most_64_characters_however_it_is_written",
            "ids_of_any_bytes_come_back_exactly",
        ],
    ),
    ("unknown keys ignored, never relayed", &["unknown_keys_are_ignored_and_not_passed_on"]),
    // Replies.
    (
        "every announce is replied to with the reference's keys",
        &["an_announce_is_answered_and_then_its_offers_go_to_others", "stopped_is_replied_to_and_leaves"],
    ),
    ("response first, then offers", &["an_announce_is_answered_and_then_its_offers_go_to_others"]),
    ("no reply to answers", &["an_answer_goes_to_who_made_the_offer_and_is_not_replied_to"]),
    (
        "failures carry action, info_hash and reason, and nothing is closed",
        &["garbage_gets_a_reply_with_a_reason"],
    ),
    ("an answer to a vanished peer is silence", &["an_answer_to_a_vanished_peer_is_silence"]),
    (
        "50, 100 and 500 announces in one burst",
        &[
            "a_burst_of_announces_in_one_write_is_answered_to_the_last",
            "a_burst_of_five_hundred_announces_is_answered_to_the_last",
        ],
    ),
    ("what came before a close or a violation is answered", &["the_tracker_on_a_socket_passes_every_case"]),
    // Identity.
    (
        "only its connection updates, stops or answers as a peer",
        &["nobody_stops_or_takes_over_another", "a_connection_keeps_the_peer_id_it_joined_with"],
    ),
    ("the same peer_id twice evicts and silences nobody", &["nobody_stops_or_takes_over_another"]),
    (
        "an offer is answered once, by its receiver, in its swarm",
        &["an_offer_is_answered_once_and_only_by_its_receiver"],
    ),
    (
        "pending offers are bounded and expire",
        &["the_oldest_pending_offer_makes_room", "an_offer_is_answered_within_its_age_or_never"],
    ),
    // Slow and silent clients.
    (
        "a slow reader loses offers first, is closed, delays nobody",
        &["a_slow_reader_loses_offers_then_its_connection_and_disturbs_nobody"],
    ),
    (
        "deadlines for TLS, PROXY header and upgrade",
        &[
            "who_does_not_finish_a_tls_handshake_in_time_is_closed",
            "who_does_not_upgrade_or_announce_in_time_is_closed",
        ],
    ),
    ("8 KiB of headers", &["odd_requests_get_their_status"]),
    ("first announce in time", &["a_connection_that_never_announces_is_closed"]),
    ("pings, two misses close", &["who_does_not_answer_pings_is_closed"]),
    (
        "empty swarms are freed",
        &["a_swarm_is_freed_with_its_last_member", "joining_and_leaving_without_end_keeps_nothing"],
    ),
    // What crashed or fooled other trackers.
    (
        "text null, 30,000 arrays, 60 KB of info_hash",
        &["garbage_gets_a_reply_with_a_reason", "deep_nesting_anywhere_is_only_skipped"],
    ),
    ("offers: [null]", &["malformed_offers_are_refused_and_change_nothing"]),
    ("scrape of a number, an object, nothing", &["a_scrape_of_everything_is_refused"]),
    ("bad UTF-8", &["violations_close_with_their_code", "the_codec_passes_every_case"]),
    ("200,000 swarms on one connection", &["two_hundred_thousand_swarms_on_one_connection_stay_eight"]),
    (
        "forged stopped, takeover, forged answer",
        &["nobody_stops_or_takes_over_another", "an_offer_is_answered_once_and_only_by_its_receiver"],
    ),
    (
        "whatever is said, the numbers stay right",
        &["any_text_is_survived", "any_conversation_keeps_the_numbers_right"],
    ),
    // The table of bounds.
    (
        "a description of 8 KiB with 20 candidates",
        &["a_description_is_bounded_at_the_edge", "candidates_cannot_hide_behind_escapes"],
    ),
    ("10 offers of an announce", &["ten_offers_of_an_announce_are_used"]),
    ("a minimum interval", &["offers_are_passed_on_only_so_often"]),
    ("peer age", &["a_member_is_forgotten_at_its_age_and_not_before"]),
    (
        "announces per connection, address, address and swarm",
        &[
            "messages_come_so_fast_and_a_flood_is_closed",
            "announces_are_bounded_per_address_and_per_address_and_swarm",
        ],
    ),
    ("offers per connection and address", &["offers_are_bounded_per_connection_and_per_address"]),
    ("offers per receiver", &["nobody_is_buried_in_offers"]),
    (
        "bytes per connection and address",
        &[
            "an_address_that_sends_too_much_is_read_more_slowly_and_others_are_not",
            "a_charge_may_go_into_debt",
        ],
    ),
    (
        "accepts per address",
        &[
            "an_address_that_storms_is_not_served_and_others_are",
            "each_address_has_its_own_share_and_quiet_ones_are_forgotten",
        ],
    ),
    ("connections per neighbourhood", &["a_neighbourhood_has_its_bound_of_connections"]),
    ("swarms and members in all", &["the_number_of_swarms_is_bounded", "members_are_bounded_in_all"]),
    (
        "connections per address (IPv6 /64) and in all",
        &[
            "connections_are_bounded_per_address_and_in_all",
            "the_tracker_is_full_at_its_bounds",
            "refused_connections_are_told_when_to_come_back",
        ],
    ),
    (
        "X-Forwarded-For only from proxies that are listed",
        &["addresses_of_believed_proxies_count", "only_believed_proxies_are_believed"],
    ),
    ("PROXY protocol v2", &["proxy_protocol_headers_are_read_and_required"]),
    ("8 swarms per connection", &["a_connection_is_in_eight_swarms"]),
    ("a full scrape is refused", &["a_scrape_of_everything_is_refused", "a_scrape_names_at_most_64_swarms"]),
    ("IPv4 and IPv6 viewers are one swarm", &["ipv4_and_ipv6_viewers_are_one_swarm"]),
    // Operation.
    (
        "drain: no accepts, /readyz 503, relaying goes on, closes spread",
        &["a_drain_closes_everybody_within_its_time", "messages_are_relayed_while_it_drains"],
    ),
    ("the next process starts first", &["a_busy_port_is_a_clear_error_and_may_be_taken_over"]),
    (
        "SIGHUP reads certificates and lists, swarms stay",
        &[
            "only_listed_origins_and_swarms_are_served_and_lists_are_read_again",
            "viewers_meet_over_tls_and_a_new_certificate_is_taken",
        ],
    ),
    ("several listeners, unix socket, admin address", &["several_listeners_a_unix_socket_and_an_admin_port"]),
    ("statistics without info_hashes unless trusted", &["health_statistics_and_metrics"]),
    ("sampled logs", &["a_flood_of_one_kind_hides_no_other"]),
    // Access.
    (
        "tokens: HMAC over swarm, expiry and nonce; rotation; few connections by each",
        &[
            "the_documented_vectors",
            "only_the_very_token_opens_only_its_swarm_until_its_time",
            "one_secret_follows_another",
            "only_who_has_a_token_for_the_swarm_joins_it",
            "a_token_ends_and_another_goes_on",
            "a_token_in_the_url_serves_clients_that_know_nothing_of_it",
            "a_token_is_good_for_a_few_connections",
            "tokens_are_minted_and_asked_for",
        ],
    ),
    (
        "several reports keep a peer out, liars nobody",
        &[
            "who_is_reported_by_several_neighbourhoods_is_kept_out_for_a_while",
            "liars_ban_nobody_innocent",
            "old_reports_do_not_count",
            "behind_a_shared_address_only_the_connection_is_kept_out",
            "a_peer_that_has_gone_is_kept_out_when_it_comes_back",
        ],
    ),
    // Matching.
    (
        "random members, a share by nearness",
        &["offers_are_spread_evenly_over_a_swarm", "neighbours_get_their_share_of_the_offers"],
    ),
    (
        "then by a database: network, country",
        &["viewers_of_one_network_and_then_of_one_country_are_near", "what_is_no_database_is_named"],
    ),
    ("no seeder for a seeder", &["seeders_are_not_offered_to_seeders"]),
    (
        "complete and incomplete in the reply",
        &[
            "an_announce_is_answered_and_then_its_offers_go_to_others",
            "completed_makes_a_seeder_and_counts_once",
        ],
    ),
];

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for pair in lines.windows(2) {
                if pair[0] == "#[test]"
                    && let Some(name) = pair[1].strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                {
                    found.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_behaviour_has_its_tests() {
    let mut tests = BTreeSet::new();
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    collect(&crate_folder.join("tests"), &mut tests);
    collect(&crate_folder.join("src"), &mut tests);
    for (behaviour, names) in TABLE {
        assert!(!names.is_empty(), "{behaviour} has no test");
        for name in *names {
            assert!(tests.contains(*name), "{behaviour}: there is no test {name}");
        }
    }
}
