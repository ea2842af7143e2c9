// Holds what was measured against the goals of `scenarios.mjs`.
import { percentile } from "./report.mjs";
import { goalsOfAll } from "./scenarios.mjs";

const percent = (value) => `${(value * 100).toFixed(1)} %`;
const ms = (value) => `${value.toFixed(0)} ms`;
const times = (value) => value.toFixed(2);
const count = (value) => value.toFixed(0);
const of = (runs, key) => runs.map((run) => run[key]);
const middle = (values) => percentile(values, 0.5);

/**
 * Compares the runs of one scenario at one checkpoint with its goals.
 *
 * @param modes `Map<mode, figures[]>`, one entry per run, in the same order in each mode
 * @returns `{ what, value, goal, reached }` for each goal that can be judged: texts, and whether it was reached
 */
export function verdicts(scenario, modes) {
  const ours = modes.get("hlswarm");
  if (!ours) return [];
  const alone = modes.get("http");
  const theirs = modes.get("p2pml");
  const goals = { ...goalsOfAll, ...scenario.goals };
  const list = [];
  const atLeast = (what, value, goal, format) =>
    list.push({ what, value: format(value), goal: `>= ${format(goal)}`, reached: value >= goal });
  const atMost = (what, value, goal, format) =>
    list.push({ what, value: format(value), goal: `<= ${format(goal)}`, reached: value <= goal });
  const overRuns = (key, other) =>
    middle(ours.map((run, i) => run[key] - other[i][key]).filter(Number.isFinite));

  const offloads = of(ours, "offload").filter((offload) => offload !== undefined);
  const ideal = (scenario.viewers - 1) / scenario.viewers;
  const offload = goals.offload ?? (goals.offloadOfIdeal && goals.offloadOfIdeal * ideal);
  if (offload && offloads.length) atLeast("offload", middle(offloads), offload, percent);
  if (goals.spread && offloads.length > 1)
    atMost("spread of the offload", Math.max(...offloads) - Math.min(...offloads), goals.spread, percent);
  if (goals.originCopies)
    atMost("origin copies", middle(of(ours, "originCopies")), goals.originCopies, times);
  if (alone) {
    if (goals.fetchedOfHttp) {
      const ratios = ours.map((run, i) => run.fetchedPerWatched / alone[i].fetchedPerWatched);
      atMost("fetched / watched, of HTTP's", middle(ratios), goals.fetchedOfHttp, times);
    }
    const startup = (runs) =>
      percentile(
        runs.flatMap((run) => run.startupsMs),
        0.95,
      ) ?? Number.NaN;
    atMost("start-up p95 above HTTP's", startup(ours) - startup(alone), goals.startupLaterMs, ms);
    atMost("stalls above HTTP's", overRuns("stalls", alone), 0, count);
    atMost("stalled time above HTTP's", overRuns("stalledMs", alone), goals.stalledLongerMs, ms);
  }
  if (alone && theirs) {
    const costs = overRuns("taskMsPerMinute", alone);
    const cost = middle(theirs.map((run, i) => run.taskMsPerMinute - alone[i].taskMsPerMinute));
    atMost("main thread above HTTP's, of p2p-media-loader's", costs / cost, goals.mainThreadOfP2pml, percent);
  }
  atMost("wrong buffers", Math.max(...of(ours, "wrong")), goals.wrong, count);
  return list;
}

/** The verdicts as Markdown lines. */
export function verdictLines(list) {
  return list
    .map(
      ({ what, value, goal, reached }) =>
        `- ${reached ? "reached" : "**missed**"}: ${what} ${value} (goal ${goal})`,
    )
    .join("\n");
}
