/**
 * Records added up: every measure of every task for every method, with intervals, and methods against each other at equal bytes.
 * @module
 */
import { type Interval, intervalOf, type Ratios, resamples } from "./bootstrap.ts";
import { type TaskName, TASKS } from "./item.ts";
import { isSolvable, type Measure, MEASURES } from "./measures.ts";
import { type EvalRecord, mean } from "./record.ts";

/** One method on one task. */
export interface Row {
  readonly method: string;
  /** Its name without arguments: points of one curve. */
  readonly family: string;
  /** Documents it was run on. */
  readonly documents: number;
  /** Mean share of the full f16 cache: what kept rows cost, and all that is held. */
  readonly bytes: number;
  readonly held: number;
  /** Mean share that it took while it was stored in another form than it is attended to; null where it was not. */
  readonly stored: number | null;
  /** Mean share of the rows that the full cache's queries read, at the end of what is scored; null where that was not counted. */
  readonly rowsRead: number | null;
  /** Mean time at the end of the prompt, milliseconds. */
  readonly ms: number;
  /** By name of the measure; null where nothing could be measured. */
  readonly values: Readonly<Record<string, Interval | null>>;
}

/** One task. */
export interface TaskSummary {
  readonly task: TaskName;
  readonly items: number;
  readonly documents: number;
  /** Tokens read per item, on average. */
  readonly tokens: number;
  /** Share of the questions that the full cache answers at least a nat per token better than no context. */
  readonly solvable: number;
  readonly rows: ReadonlyArray<Row>;
  /** Numerators and denominators by method and measure, for comparisons. */
  readonly ratios: ReadonlyMap<string, Readonly<Record<string, Ratios>>>;
  /** Documents of each resample: one list for all intervals of the task. */
  readonly chosen: ReadonlyArray<Uint32Array>;
}

/** `random(50%, seed=2)` and its like are one method, asked several times. */
export const methodName = (label: string): string => label.replace(/, seed=\d+\)$/, ")");

/** The name of a method's curve: arguments that are budgets or thresholds are what moves along it. */
export const familyOf = (method: string): string => method.replace(/\(-?[\d./]+%?(, )?/, "(").replace("()", "");

/** Records of methods that were run on at least two documents of their task: fewer give no interval. */
export function widely(records: ReadonlyArray<EvalRecord>): ReadonlyArray<EvalRecord> {
  const documents = new Map<string, Set<string>>();
  const keyOf = ({ task, method }: EvalRecord): string => JSON.stringify([task, methodName(method)]);
  for (const record of records) documents.set(keyOf(record), (documents.get(keyOf(record)) ?? new Set()).add(record.document));
  return records.filter((record) => (documents.get(keyOf(record))?.size ?? 0) >= 2);
}

/** Every task that has records. */
export const summarise = (records: ReadonlyArray<EvalRecord>): ReadonlyArray<TaskSummary> =>
  TASKS.flatMap((task) => {
    const own = records.filter((record) => record.task === task);
    return own.length === 0 ? [] : [summaryOf(task, own)];
  });

function summaryOf(task: TaskName, records: ReadonlyArray<EvalRecord>): TaskSummary {
  const documents = [...new Set(records.map(({ document }) => document))].sort();
  const methods = [...new Set(records.map(({ method }) => methodName(method)))];
  const full = records.filter(({ method }) => method === "full cache");
  const chosen = resamples(documents.length);
  const ratios = new Map(methods.map((method) => {
    const own = records.filter((record) => methodName(record.method) === method);
    return [method, Object.fromEntries(MEASURES[task].map((measure) => [measure.name, ratiosOf(own, measure, documents)]))] as const;
  }));
  const rows = methods.map((method): Row => {
    const own = records.filter((record) => methodName(record.method) === method);
    return {
      method,
      family: familyOf(method),
      documents: new Set(own.map(({ document }) => document)).size,
      bytes: mean(own.map(({ bytes, full }) => bytes / full)),
      held: mean(own.map(({ held, full }) => held / full)),
      stored: meanOrNull(own.flatMap(({ bytesStored, full }) => bytesStored === undefined ? [] : [bytesStored / full])),
      rowsRead: meanOrNull(own.flatMap(({ item, rowsRead }) => {
        const all = full.find((record) => record.item === item)?.rowsRead ?? null;
        return rowsRead === null || all === null ? [] : [rowsRead / all];
      })),
      ms: mean(own.map(({ ms }) => ms)),
      values: Object.fromEntries(MEASURES[task].map(({ name }) => {
        const found = ratios.get(method)?.[name];
        return [name, found === undefined ? null : intervalOf([found], ([x = NaN]) => x, chosen)];
      })),
    };
  });
  const probes = full.flatMap(({ probes }) => probes);
  return {
    task,
    items: full.length,
    documents: documents.length,
    tokens: mean(full.map(({ tokens }) => tokens)),
    solvable: mean(probes.map((probe) => Number(isSolvable(probe)))),
    rows,
    ratios,
    chosen,
  };
}

const meanOrNull = (numbers: ReadonlyArray<number>): number | null => numbers.length === 0 ? null : mean(numbers);

function ratiosOf(records: ReadonlyArray<EvalRecord>, measure: Measure, documents: ReadonlyArray<string>): Ratios {
  const over = documents.map(() => 0);
  const under = documents.map(() => 0);
  for (const record of records) {
    const d = documents.indexOf(record.document);
    const [a, b] = measure.of(record);
    over[d] = (over[d] ?? 0) + a;
    under[d] = (under[d] ?? 0) + b;
  }
  return { over, under };
}

/** A curve at a share of the bytes, on the line between its two neighbours over log2 of the bytes. */
interface At {
  readonly left: Ratios;
  readonly right: Ratios;
  readonly weight: number;
}

function curveAt(summary: TaskSummary, family: string, measure: string, share: number): At | null {
  const points = summary.rows.filter((row) => row.family === family && row.bytes > 0).toSorted((a, b) => a.bytes - b.bytes);
  // Shares that differ by rounding and by a position's four bytes are the same budget.
  const exact = points.find(({ bytes }) => Math.abs(bytes / share - 1) < 0.04);
  const [below, above] = [points.findLast(({ bytes }) => bytes <= share), points.find(({ bytes }) => bytes > share)];
  const [a, b] = exact === undefined ? [below, above] : [exact, exact];
  const left = a === undefined ? undefined : summary.ratios.get(a.method)?.[measure];
  const right = b === undefined ? undefined : summary.ratios.get(b.method)?.[measure];
  if (a === undefined || b === undefined || left === undefined || right === undefined) return null;
  const weight = a === b ? 0 : Math.log2(share / a.bytes) / Math.log2(b.bytes / a.bytes);
  return { left, right, weight };
}

/** A family's measure at a share of the bytes; null outside the range it was run in. */
export function valueAt(summary: TaskSummary, family: string, measure: string, share: number): Interval | null {
  const at = curveAt(summary, family, measure, share);
  return at === null ? null : intervalOf([at.left, at.right], ([a = NaN, b = NaN]) => a + at.weight * (b - a), summary.chosen);
}

/** Ratios of the documents that all of them have; others count for none. */
function common(all: ReadonlyArray<Ratios>): ReadonlyArray<Ratios> {
  const has = (d: number): boolean => all.every(({ under }) => (under[d] ?? 0) !== 0);
  const only = (numbers: ReadonlyArray<number>): ReadonlyArray<number> => numbers.map((x, d) => has(d) ? x : 0);
  return all.map(({ over, under }) => ({ over: only(over), under: only(under) }));
}

/** One family's measure minus another's at equal bytes, paired by document: over those that both were run on. "No difference" where the
 * interval spans 0. */
export function differenceAt(summary: TaskSummary, one: string, other: string, measure: string, share: number): Interval | null {
  const [a, b] = [one, other].map((family) => curveAt(summary, family, measure, share));
  if (a === null || b === null || a === undefined || b === undefined) return null;
  const line = (left: number, right: number, weight: number): number => left + weight * (right - left);
  return intervalOf(
    common([a.left, a.right, b.left, b.right]),
    ([al = NaN, ar = NaN, bl = NaN, br = NaN]) => line(al, ar, a.weight) - line(bl, br, b.weight),
    summary.chosen,
  );
}
