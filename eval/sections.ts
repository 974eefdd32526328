/**
 * A report as data: sections of sentences, plots and tables, which are then written as Markdown and as a page.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import { barChart, heatMap, lineChart, type Series } from "../report/mod.ts";
import type { Interval } from "./bootstrap.ts";
import { ABOUT, type Measure, MEASURES } from "./measures.ts";
import { type EvalRecord, mean } from "./record.ts";
import { differenceAt, methodName, type Row, type TaskSummary, valueAt } from "./summary.ts";

/** A drawing. */
export interface Plot {
  /** Name of its file, without ending. */
  readonly name: string;
  /** What it shows, for those who cannot see it. */
  readonly about: string;
  readonly svg: string;
}

/** Cells under titles; the first column is text, the others are numbers. */
export interface Table {
  readonly titles: ReadonlyArray<string>;
  readonly rows: ReadonlyArray<ReadonlyArray<string>>;
}

/** Part of a report. */
export interface Section {
  readonly title: string;
  readonly lead: ReadonlyArray<string>;
  readonly plots: ReadonlyArray<Plot>;
  readonly tables: ReadonlyArray<Table>;
}

/** Families that are no policy. */
export const CONTROLS: ReadonlyArray<string> = ["full cache", "no context", "random", "oracle"];

/** A number with its interval. */
export const shown = (interval: Interval | null | undefined, digits = 3): string =>
  interval === null || interval === undefined
    ? "–"
    : `${interval.value.toFixed(digits)} [${interval.low.toFixed(digits)}, ${interval.high.toFixed(digits)}]`;

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** Shares of the rows at which the controls were run, largest first. */
export function budgetsOf(summary: TaskSummary): ReadonlyArray<number> {
  const found = summary.rows.flatMap(({ method }) => /^random\(([\d.]+)%\)$/.exec(method)?.[1] ?? []);
  return found.map((text) => Number(text) / 100).sort((a, b) => b - a);
}

/** What all kept rows at a budget cost: a share of the full cache, positions counted. */
export const shareAt = ({ rows }: TaskSummary, budget: number): number =>
  budget * (rows.find(({ method }) => method === "full cache")?.bytes ?? 1);

/** Curves of a task, in the order in which they were asked for. */
export const familiesOf = ({ rows }: TaskSummary): ReadonlyArray<string> =>
  [...new Set(rows.map(({ family }) => family))].filter((family) => family !== "full cache" && family !== "no context");

/** Everything that is said about one task; `families` gives every curve its colour in all plots. */
export const taskSection = (families: ReadonlyArray<string>) => (summary: TaskSummary): TaskEither<KvError, Section> => async () => {
  const measures = MEASURES[summary.task];
  const primary = measures[0];
  if (primary === undefined) return E.right({ title: summary.task, lead: [], plots: [], tables: [] });
  const svg = await lineChart({
    title: `${summary.task}: ${ABOUT[summary.task]}`,
    subtitle: `${primary.title} against bytes kept; whiskers are 95 % intervals over ${summary.documents} documents`,
    x: { title: "bytes of the kept rows, share of the full f16 cache", scale: "log", format: ".0%", ticks: ticksFor(summary) },
    y: { title: primary.title },
    series: seriesOf(summary, primary, families),
  })();
  if (E.isLeft(svg)) return svg;
  const name = summary.task.toLowerCase();
  return E.right({
    title: `${summary.task}: ${ABOUT[summary.task]}`,
    lead: [said(summary), ...budgetsOf(summary).map((budget) => best(summary, primary, budget))].filter((line) => line !== ""),
    plots: [{ name, about: `${primary.title} of every policy against the bytes it keeps`, svg: svg.right }],
    tables: [tableOf(summary)],
  });
};

/** The same in numbers alone, for a task at another length. */
export const lengthSection = (summary: TaskSummary): Section => ({
  title: `${summary.task} at ${summary.tokens.toFixed(0)} tokens: ${ABOUT[summary.task]}`,
  lead: [said(summary)],
  plots: [],
  tables: [tableOf(summary)],
});

const said = ({ items, documents, tokens, solvable }: TaskSummary): string =>
  `${items} items from ${documents} documents, ${Math.round(tokens)} tokens each; for ${
    percent(solvable)
  } of the questions the full cache is ` +
  `at least one nat per token better than no context.${
    documents < FEW ? " So few documents give intervals that are narrower than they should be: read them as hints." : ""
  }`;

/** Fewer documents than this leave a bootstrap little to draw from. */
const FEW = 6;

const ticksFor = ({ rows }: TaskSummary): ReadonlyArray<number> => {
  const least = Math.min(...rows.flatMap(({ bytes }) => bytes > 0 ? [bytes] : []));
  return [0.05, 0.1, 0.15, 0.2, 0.25, 0.33, 0.5, 0.75, 1].filter((share) => share >= least * 0.9);
};

function seriesOf(summary: TaskSummary, { name }: Measure, families: ReadonlyArray<string>): ReadonlyArray<Series> {
  const full = summary.rows.find(({ method }) => method === "full cache");
  return familiesOf(summary).map((family) => ({
    name: family,
    colour: Math.max(0, families.indexOf(family)),
    points: [...summary.rows.filter((row) => row.family === family), ...full === undefined ? [] : [full]].flatMap((row) => {
      const value = row.values[name];
      return value === null || value === undefined || row.bytes <= 0
        ? []
        : [{ x: row.bytes, y: value.value, low: value.low, high: value.high }];
    }).sort((a, b) => a.x - b.x),
  }));
}

/** Which policy is best at a budget, and whether that is more than chance against the next. */
function best(summary: TaskSummary, measure: Measure, budget: number): string {
  const share = shareAt(summary, budget);
  const sign = measure.better === "low" ? 1 : -1;
  const found = familiesOf(summary).filter((family) => !CONTROLS.includes(family)).flatMap((family) => {
    const value = valueAt(summary, family, measure.name, share);
    return value === null ? [] : [{ family, value }];
  }).sort((a, b) => sign * (a.value.value - b.value.value));
  const [first, second] = found;
  if (first === undefined) return "";
  const random = valueAt(summary, "random", measure.name, share);
  const beside = random === null ? "" : ` (random ${random.value.toFixed(3)})`;
  const lead = `At ${percent(budget)} of the rows ${first.family} is best with ${measure.title} ${shown(first.value)}${beside}`;
  if (second === undefined) return `${lead}.`;
  const gap = differenceAt(summary, first.family, second.family, measure.name, share);
  const clear = gap !== null && (gap.low > 0 || gap.high < 0);
  return `${lead}; ${clear ? `the next, ${second.family}, differs by` : `no difference from ${second.family},`} ${shown(gap)}.`;
}

function tableOf(summary: TaskSummary): Table {
  const measures = MEASURES[summary.task];
  const [stored, read] = [summary.rows.some((row) => row.stored !== null), summary.rows.some(({ rowsRead }) => rowsRead !== null)];
  return {
    titles: [
      "policy",
      "bytes",
      "held",
      ...stored ? ["stored"] : [],
      ...read ? ["rows read"] : [],
      "ms",
      ...measures.map(({ title }) => title),
    ],
    rows: summary.rows.map((row) => [
      row.documents < summary.documents ? `${row.method} (${row.documents} of ${summary.documents} documents)` : row.method,
      percent(row.bytes),
      percent(row.held),
      ...stored ? [row.stored === null ? "–" : percent(row.stored)] : [],
      ...read ? [row.rowsRead === null ? "–" : percent(row.rowsRead)] : [],
      row.ms.toFixed(0),
      ...measures.map(({ name }) => isKnown(row, name) ? shown(row.values[name]) : "–"),
    ]),
  };
}

/** Without context only the likelihood of the answer is known. */
export const isKnown = ({ method }: Row, measure: string): boolean =>
  method !== "no context" || ["recovery", "delta", "worst", "old"].includes(measure);

/** Every curve of a report. */
export const allFamilies = (summaries: ReadonlyArray<TaskSummary>): ReadonlyArray<string> => [...new Set(summaries.flatMap(familiesOf))];

/** All tasks side by side at one budget: the first thing a reader looks at. */
export function overview(summaries: ReadonlyArray<TaskSummary>): Section {
  const first = summaries[0];
  const budgets = first === undefined ? [] : budgetsOf(first);
  const families = allFamilies(summaries);
  const table = (budget: number): Table => ({
    titles: [`at ${percent(budget)} of the bytes`, ...summaries.map(({ task }) => `${task} ${MEASURES[task][0]?.title ?? ""}`)],
    rows: families.map((family) => [
      family,
      ...summaries.map((summary) => shown(valueAt(summary, family, MEASURES[summary.task][0]?.name ?? "", shareAt(summary, budget)))),
    ]).filter((cells) => cells.slice(1).some((cell) => cell !== "–")),
  });
  return {
    title: "All tasks at equal bytes",
    lead: [
      "Values lie on the line between the two nearest points of a policy's curve (over log2 of the bytes); – is outside of what was run. " +
      "NLL delta and KL: 0 is the full cache, lower is better. Recovery: 1 is the full cache, 0 is no context. " +
      "Where a policy was run on some of the documents only, the table of the task says so; differences are over those it shares.",
    ],
    plots: [],
    tables: budgets.map(table),
  };
}

/** Where rows are kept: layers by heads, for policies that do not give every head the same. */
export const headsSection = (records: ReadonlyArray<EvalRecord>): TaskEither<KvError, Section | null> => async () => {
  const plots: Plot[] = [];
  for (const method of [...new Set(records.map((record) => methodName(record.method)))]) {
    const own = records.filter((record) =>
      methodName(record.method) === method && record.task === records[0]?.task && record.kept.length > 0
    );
    const shares = meanShares(own);
    const flat = shares.flat();
    if (flat.length === 0 || Math.max(...flat) - Math.min(...flat) < 0.02) continue;
    const heads = shares[0]?.length ?? 0;
    const svg = await heatMap({
      title: method,
      subtitle: `rows kept per layer and KV head, mean of ${own.length} items of ${own[0]?.task ?? ""}`,
      rows: "head",
      columns: "layer",
      value: { title: "kept", format: ".0%", range: [0, 1] },
      cells: Array.from({ length: heads }, (_, head) => shares.map((layer) => layer[head] ?? 0)),
    })();
    if (E.isLeft(svg)) return svg;
    plots.push({
      name: `heads-${method.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}`,
      about: `rows kept per head under ${method}`,
      svg: svg.right,
    });
  }
  return E.right(
    plots.length === 0 ? null : {
      title: "Which heads keep rows",
      lead: ["Policies that give every head the same number of rows are left out."],
      plots,
      tables: [],
    },
  );
};

const meanShares = (records: ReadonlyArray<EvalRecord>): ReadonlyArray<ReadonlyArray<number>> =>
  (records[0]?.kept ?? []).map((layer, l) => layer.map((_, h) => mean(records.map(({ kept, tokens }) => (kept[l]?.[h] ?? 0) / tokens))));

/** Milliseconds from which a bar would hide all others. */
const LONG = 5000;

/** Time that policies take at the end of the prompt. */
export const timeSection = (summary: TaskSummary): TaskEither<KvError, Section | null> => async () => {
  const bars = summary.rows.filter(({ family, ms }) => !CONTROLS.includes(family) && ms > 0).map(({ method, ms }) => ({
    name: method,
    value: ms,
  }));
  if (bars.length === 0) return E.right(null);
  // Reading the prompt again takes seconds, beside which nothing else would be seen.
  const [drawn, long] = [bars.filter(({ value }) => value < LONG), bars.filter(({ value }) => value >= LONG)];
  const about = `milliseconds at the end of ${Math.round(summary.tokens)} tokens`;
  const svg = await barChart({
    title: "Deciding and compacting",
    subtitle: `${about}, mean over the items of ${summary.task}`,
    x: { title: "ms" },
    bars: drawn.length === 0 ? long : drawn,
  })();
  if (E.isLeft(svg)) return svg;
  const beyond = drawn.length === 0 || long.length === 0
    ? ""
    : ` Not drawn: ${long.map(({ name, value }) => `${name} ${(value / 1000).toFixed(0)} s`).join(", ")}.`;
  const lead = `Measured beside whatever else the machine did: an order of magnitude, not a benchmark.${beyond}`;
  return E.right({ title: "Time", lead: [lead], plots: [{ name: "time", about, svg: svg.right }], tables: [] });
};
