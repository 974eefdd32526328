/**
 * What a results page says beyond a report: whether the goals of faithfulness are met, where a learned policy stands between the best baseline
 * and its oracle, and how much each threshold keeps of each kind of text.
 * @module
 */
import type { Interval } from "./bootstrap.ts";
import type { Kind, TaskName } from "./item.ts";
import { MEASURES } from "./measures.ts";
import { type EvalRecord, mean } from "./record.ts";
import { allFamilies, budgetsOf, CONTROLS, familiesOf, type Section, shareAt, shown, type Table } from "./sections.ts";
import { differenceAt, type TaskSummary, valueAt } from "./summary.ts";

/** A goal: the measure of a task at a share of the bytes, and the least (or most) it should be. */
interface Goal {
  readonly task: TaskName;
  readonly measure: string;
  readonly budget: number;
  readonly limit: number;
  readonly text: string;
}

/** At half the bytes and at a third of them. */
const GOALS: ReadonlyArray<Goal> = [
  { task: "T1", measure: "delta", budget: 1 / 2, limit: 0.01, text: "T1 at 2×: NLL delta ≤ 0.01" },
  { task: "T1", measure: "delta", budget: 1 / 3, limit: 0.03, text: "T1 at 3×: NLL delta ≤ 0.03" },
  { task: "T2", measure: "recovery", budget: 1 / 2, limit: 0.97, text: "T2 at 2×: recovery ≥ 0.97" },
  { task: "T2", measure: "recovery", budget: 1 / 3, limit: 0.9, text: "T2 at 3×: recovery ≥ 0.9" },
];

/** A family that was learned. */
const isLearned = (family: string): boolean => family.startsWith("kvzap");

/** A family that a forward pass over the text was run for. */
export const isOracle = (family: string): boolean => family.startsWith("kvzip");

/** The goals for every learned family, at every length. */
export function goalsSection(summaries: ReadonlyArray<TaskSummary>): Section {
  const families = allFamilies(summaries).filter((family) => isLearned(family) || isOracle(family));
  const rows = GOALS.flatMap((goal) =>
    summaries.filter(({ task }) => task === goal.task).flatMap((summary) =>
      families.flatMap((family): ReadonlyArray<ReadonlyArray<string>> => {
        const value = valueAt(summary, family, goal.measure, shareAt(summary, goal.budget));
        return value === null ? [] : [[goal.text, length(summary), family, `${shown(value)} (${value.documents})`, verdict(goal, value)]];
      })
    )
  );
  return {
    title: "Goals",
    lead: [
      "At equal bytes, 95 % intervals over documents. A goal is met where the mean is within it; “surely” says that the whole interval is, " +
      "“surely not” that none of it is.",
    ],
    plots: [],
    tables: [{ titles: ["goal", "tokens", "policy", "found (documents)", "met"], rows }],
  };
}

function verdict({ measure, limit }: Goal, { value, low, high }: Interval): string {
  const good = (x: number): boolean => measure === "delta" ? x <= limit : x >= limit;
  const all = good(low) && good(high);
  return good(value) ? all ? "yes, surely" : "yes" : good(low) || good(high) ? "no" : "surely not";
}

/** Tokens read, on average. */
const length = ({ tokens }: TaskSummary): string => tokens.toFixed(0);

/** Learned families against the best baseline and the oracle, task by task and length by length. */
export function standingSection(summaries: ReadonlyArray<TaskSummary>): Section {
  const rows = summaries.filter(({ task }) => ["T1", "T2", "T7", "T8"].includes(task)).flatMap((summary) =>
    budgetsOf(summary).flatMap((budget) => familiesOf(summary).filter(isLearned).flatMap((family) => standing(summary, family, budget)))
  );
  return {
    title: "Between the best baseline and the oracle",
    lead: [
      "The learned policy minus the best baseline, and minus the oracle, paired by document at equal bytes. Where an interval spans 0 no difference " +
      "was found.",
    ],
    plots: [],
    tables: [{ titles: ["task", "tokens", "rows", "policy", "best baseline", "policy − baseline", "policy − KVzip+"], rows }],
  };
}

function standing(summary: TaskSummary, family: string, budget: number): ReadonlyArray<ReadonlyArray<string>> {
  const measure = MEASURES[summary.task][0];
  if (measure === undefined) return [];
  const share = shareAt(summary, budget);
  const sign = measure.better === "low" ? 1 : -1;
  const at = (one: string): number => sign * (valueAt(summary, one, measure.name, share)?.value ?? NaN);
  const rivals = familiesOf(summary).filter((one) => !CONTROLS.includes(one) && !isLearned(one));
  const baseline = rivals.filter((one) => !isOracle(one) && Number.isFinite(at(one))).sort((a, b) => at(a) - at(b))[0];
  const oracle = rivals.find((one) => one.startsWith("kvzip(plus=yes"));
  if (baseline === undefined || !Number.isFinite(at(family))) return [];
  const gap = (other: string | undefined): string =>
    other === undefined ? "–" : shown(differenceAt(summary, family, other, measure.name, share));
  return [[
    `${summary.task} ${measure.title}`,
    length(summary),
    `${(100 * budget).toFixed(0)}%`,
    family,
    `${baseline} ${shown(valueAt(summary, baseline, measure.name, share))}`,
    gap(baseline),
    gap(oracle),
  ]];
}

/** Share of the rows that each threshold keeps, by kind of text, from the items that continue documents. */
export function thresholdTable(records: ReadonlyArray<EvalRecord>): Table {
  const own = records.filter(({ task, method }) => task === "T1" && isLearned(method));
  const kinds: ReadonlyArray<Kind> = ["prose", "code", "dialogue"];
  const methods = [...new Set(own.map(({ method }) => method))].sort();
  return {
    titles: ["policy", ...kinds.map((kind) => `${kind}, bytes kept`), "compression"],
    rows: methods.map((method) => {
      const shares = (kind: Kind | null): ReadonlyArray<number> =>
        own.filter((record) => record.method === method && (kind === null || record.kind === kind)).map(({ bytes, full }) => bytes / full);
      const cell = (kind: Kind): string =>
        shares(kind).length === 0 ? "–" : `${(100 * mean(shares(kind))).toFixed(1)}% (n=${shares(kind).length})`;
      return [method, ...kinds.map(cell), `${(1 / mean(shares(null))).toFixed(2)}×`];
    }),
  };
}
