/**
 * What is reported of each task, as a ratio of two sums over its questions.
 * @module
 */
import type { TaskName } from "./item.ts";
import type { EvalRecord, ProbeRecord } from "./record.ts";

/** One number of a task. */
export interface Measure {
  readonly name: string;
  /** As tables and plots head it, with the unit. */
  readonly title: string;
  readonly better: "low" | "high";
  /** Numerator and denominator that one record adds. */
  readonly of: (record: EvalRecord) => readonly [number, number];
}

/** A question counts where the full cache is at least this much likelier to answer it than no context, nats per token. */
export const SOLVABLE = 1;

/** Whether the full cache can answer: gate G1. */
export const isSolvable = ({ nllNone, nllFull }: ProbeRecord): boolean => nllNone - nllFull >= SOLVABLE;

const sums = (
  name: string,
  title: string,
  better: Measure["better"],
  each: (probe: ProbeRecord) => readonly [number, number],
): Measure => ({
  name,
  title,
  better,
  of: ({ probes }) => probes.map(each).reduce<readonly [number, number]>(([over, under], [a, b]) => [over + a, under + b], [0, 0]),
});

const weighted = (name: string, title: string, better: Measure["better"], value: (probe: ProbeRecord) => number): Measure =>
  sums(name, title, better, (probe) => [value(probe) * probe.n, probe.n]);

const solvable = (name: string, title: string, each: (probe: ProbeRecord) => readonly [number, number]): Measure =>
  sums(name, title, "high", (probe) => isSolvable(probe) ? each(probe) : [0, 0]);

const recovered = ({ nllNone, nllFull, nll }: ProbeRecord): readonly [number, number] => [nllNone - nll, nllNone - nllFull];

const DELTA = weighted("delta", "NLL delta, nats/token", "low", ({ nll, nllFull }) => nll - nllFull);
const KL = weighted("kl", "KL, nats/token", "low", ({ kl }) => kl);
const KL95 = sums("kl95", "KL, 95th percentile", "low", ({ kl95 }) => [kl95, 1]);
const TOP1 = weighted("top1", "top-1 agreement", "high", ({ top1 }) => top1);
const HITS = weighted("hits", "tokens right", "high", ({ hits }) => hits);
const FAR = sums("far", "NLL delta where the far context counts", "low", ({ far }) => far === null ? [0, 0] : [far.delta * far.n, far.n]);
const RECOVERY = solvable("recovery", "recovery", recovered);
const EXACT = solvable("exact", "all digits right", ({ hits }) => [hits === 1 ? 1 : 0, 1]);
const ODDS = sums("odds", "log-odds against the best distractor, nats", "high", ({ odds }) => odds === null ? [0, 0] : [odds, 1]);
const WORST: Measure = {
  name: "worst",
  title: "recovery of the worst question",
  better: "high",
  of: ({ probes }) => {
    const each = probes.filter(isSolvable).map(recovered).map(([over, under]) => over / under);
    return each.length === 0 ? [0, 0] : [Math.min(...each), 1];
  },
};
const OLD = solvable("old", "recovery of facts from earlier turns", (probe) => probe.age > 0 ? recovered(probe) : [0, 0]);
const MATCH = sums("match", "tokens until greedy texts differ", "high", ({ match }) => [match, 1]);

/** The measures of each task: the first is the one that plots show. */
export const MEASURES: Readonly<Record<TaskName, ReadonlyArray<Measure>>> = {
  T1: [DELTA, FAR, KL, KL95, TOP1],
  T2: [RECOVERY, EXACT, KL],
  T3: [RECOVERY, EXACT, ODDS],
  T5: [DELTA, HITS],
  T6: [DELTA, HITS],
  T7: [RECOVERY, WORST, EXACT],
  T8: [DELTA, HITS, KL],
  T9: [RECOVERY, OLD, EXACT],
  T10: [KL, DELTA, TOP1, MATCH],
};

/** What each task asks, in a few words. */
export const ABOUT: Readonly<Record<TaskName, string>> = {
  T1: "how a real document goes on",
  T2: "one fact in prose, found again",
  T3: "one fact among 4 or 16 of its kind",
  T5: "a random string, repeated",
  T6: "a random string, repeated after other text",
  T7: "eight questions to one compressed cache",
  T8: "the text itself, reconstructed",
  T9: "facts of four turns, compressed after each",
  T10: "the model's own long answer, compressed while it decodes",
};
