//! Assertions that compare a whole run with the reference: the same viewers on the CDN alone.

use std::collections::BTreeMap;

use crate::report::Row;
use crate::tally::Tally;
use crate::world::{Failure, Outcome, World};

/// So many viewers who stall more are named, the worst first.
const NAMED: usize = 5;

/// Checks the promise: no viewer stalls more than with the CDN alone, and nobody starts much later.
pub(crate) fn against_reference(
    world: &World,
    outcome: &Outcome,
    expected: &Outcome,
    row: &Row,
    failures: &mut Vec<Failure>,
) {
    let expect = &world.scenario.expect;
    let reference: BTreeMap<u32, &Tally> = expected.tallies.iter().map(|tally| (tally.id, tally)).collect();
    let mut worse = Vec::new();
    for tally in &outcome.tallies {
        let Some(alone) = reference.get(&tally.id) else { continue };
        let extra_ms = (tally.seen.stall_us as f64 - alone.seen.stall_us as f64) / 1000.0;
        let more = tally.seen.stalls.saturating_sub(alone.seen.stalls);
        if extra_ms > expect.extra_stall_ms || more > expect.extra_stalls {
            worse.push((tally, alone, extra_ms));
        }
    }
    worse.sort_by(|(.., one), (.., other)| other.total_cmp(one));
    let allowed = (expect.extra_stall_share * outcome.tallies.len() as f64) as usize;
    if worse.len() > allowed {
        for (tally, alone, _) in worse.iter().take(NAMED) {
            let ms = |tally: &Tally| tally.seen.stall_us as f64 / 1000.0;
            failures.push(Failure {
                at_us: tally.left_us,
                actor: tally.id,
                what: format!(
                    "stalled {} times for {:.0} ms, over HTTP alone {} times for {:.0} ms",
                    tally.seen.stalls,
                    ms(tally),
                    alone.seen.stalls,
                    ms(alone),
                ),
            });
        }
    }
    let end_us = (world.scenario.length_s * 1e6) as u64;
    let mut whole = |what: String| failures.push(Failure { at_us: end_us, actor: u32::MAX, what });
    if worse.len() > NAMED.max(allowed) {
        whole(format!("{} viewers in all stall longer or more often than over HTTP alone", worse.len()));
    }
    if let (Some(with), Some(without)) = (row.startup_p95_ms, row.http_startup_p95_ms)
        && with > without + expect.extra_startup_ms
    {
        whole(format!(
            "the 95th percentile starts after {with:.0} ms, over HTTP alone after {without:.0} ms"
        ));
    }
    if row.wrong_share > expect.wrong_share {
        whole(format!("{:.5} of the segments were wrong, at most {}", row.wrong_share, expect.wrong_share));
    }
    if row.p2p_ratio < expect.p2p_ratio {
        whole(format!("P2P ratio {:.3}, expected at least {}", row.p2p_ratio, expect.p2p_ratio));
    }
}
