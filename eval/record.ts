/**
 * What is kept of one item under one method: a few numbers per question. Logits are compared token by token in f64 and then forgotten.
 * @module
 */
import type { Item, Kind, TaskName } from "./item.ts";
import type { Logits } from "./metrics.ts";
import type { Answered } from "./run_item.ts";

/** Numbers of one question. Likelihoods are in nats per token, negative logarithms, means over the answer. */
export interface ProbeRecord {
  /** Tokens scored. */
  readonly n: number;
  /** Turns between fact and question. */
  readonly age: number;
  readonly nll: number;
  /** The same under the full cache, and without context. */
  readonly nllFull: number;
  readonly nllNone: number;
  /** KL divergence from the full cache's predictions: mean, and 95th percentile over the tokens. */
  readonly kl: number;
  readonly kl95: number;
  /** Share of tokens where the likeliest is the same as under the full cache. */
  readonly top1: number;
  /** Share of tokens where the likeliest is the right one. */
  readonly hits: number;
  /** Log-odds of the right answer against the likeliest of the wrong ones, nats; null where none is given. */
  readonly odds: number | null;
  /** Tokens at the beginning whose likeliest is that of the full cache: the length of text on which greedy decoding agrees. */
  readonly match: number;
  /** Of the tokens that the full context makes likelier by half a nat than its last 128 tokens do: how many, and the mean change of their NLL. */
  readonly far: { readonly n: number; readonly delta: number } | null;
  /** Mean NLL minus the full cache's by tenth of the answer, where it is long. */
  readonly deciles: ReadonlyArray<number> | null;
}

/** One line of a run's file. */
export interface EvalRecord {
  readonly task: TaskName;
  readonly item: string;
  readonly document: string;
  readonly kind: Kind;
  readonly method: string;
  /** Tokens read. */
  readonly tokens: number;
  /** Bytes of codes, positions and columns of the kept rows (and scales where codecs have them): what a row costs. */
  readonly bytes: number;
  /** Bytes held in all: rings of queries, slack and layouts too. */
  readonly held: number;
  /** Bytes of the whole cache in f16. */
  readonly full: number;
  /** Bytes it took while it was stored in another form than it is attended to; absent where it was not. */
  readonly bytesStored?: number;
  /** Rows that the queries of the last token scored read, over all layers and KV heads, mean over the questions: less than those held where
   * the policy selects. Null where no context is read, and in runs of before this was counted. */
  readonly rowsRead: number | null;
  /** Rows per layer and head. */
  readonly kept: ReadonlyArray<ReadonlyArray<number>>;
  /** Time of the policy's work at the end of the first turn, milliseconds. */
  readonly ms: number;
  readonly probes: ReadonlyArray<ProbeRecord>;
  /** Of the first item of a task: which share of the heads keeps each token, whole percent; under the full cache also the tokens as text. */
  readonly portrait: { readonly shares: ReadonlyArray<number>; readonly pieces: ReadonlyArray<string> | null } | null;
}

/** A row of logits in two numbers: the logarithm of the sum of its exponentials, and the index of its largest. */
interface RowFacts {
  readonly lse: number;
  readonly best: number;
}

/** What every method is compared with: the full cache's logits and per-token NLL of every question, and the NLL without context. */
export interface Base {
  readonly full: Answered;
  readonly facts: ReadonlyArray<ReadonlyArray<RowFacts>>;
  readonly nll: ReadonlyArray<ReadonlyArray<number>>;
  readonly none: ReadonlyArray<ReadonlyArray<number>>;
}

/** The base of an item: the full cache's answers, and the logits of the same questions without context. */
export function baseOf(full: Answered, without: ReadonlyArray<Logits>): Base {
  const facts = full.logits.map((logits) => logits.map(factsOf));
  const nll = full.targets.map((targets, p) => nllOf(facts[p] ?? [], full.logits[p] ?? [], targets));
  const none = without.map((logits, p) => nllOf(logits.map(factsOf), logits, full.targets[p] ?? []));
  return { full, facts, nll, none };
}

/** NLL of each target, nats. */
const nllOf = (facts: ReadonlyArray<RowFacts>, logits: Logits, targets: ReadonlyArray<number>): ReadonlyArray<number> =>
  facts.map(({ lse }, i) => lse - (logits[i]?.[targets[i] ?? 0] ?? 0));

/** Gain of the far context at which a token counts as one that needs it, nats. */
const FAR = 0.5;
/** Answers of at least this many tokens are also reported by tenths. */
const LONG = 100;

/** The questions of one method as numbers. */
export const probesOf = (item: Item, base: Base, answered: Answered): ReadonlyArray<ProbeRecord> => {
  const probes = item.turns.flatMap(({ probes }) => probes);
  return answered.logits.map((logits, p): ProbeRecord => {
    const targets = answered.targets[p] ?? [];
    const own = answered === base.full ? base.facts[p] ?? [] : logits.map(factsOf);
    const nll = nllOf(own, logits, targets);
    const [full, none] = [base.nll[p] ?? nll, base.none[p] ?? nll];
    const deltas = nll.map((x, i) => x - (full[i] ?? 0));
    const facts = base.facts[p] ?? own;
    const divergences = own.map(({ lse }, i) => divergence(base.full.logits[p]?.[i], facts[i]?.lse ?? 0, logits[i], lse));
    const agreed = own.map(({ best }, i) => best === facts[i]?.best);
    const far = deltas.filter((_, i) => (none[i] ?? 0) - (full[i] ?? 0) >= FAR);
    const mismatch = agreed.indexOf(false);
    return {
      n: targets.length,
      age: probes[p]?.age ?? 0,
      nll: mean(nll),
      nllFull: mean(full),
      nllNone: mean(none),
      kl: mean(divergences),
      kl95: quantile(divergences, 0.95),
      top1: mean(agreed.map(Number)),
      hits: mean(own.map(({ best }, i) => Number(best === targets[i]))),
      odds: oddsOf(mean(nll) * nll.length, probes[p]?.distractors ?? [], answered.distractors[p] ?? []),
      match: mismatch < 0 ? agreed.length : mismatch,
      far: item.task === "T1" && far.length > 0 ? { n: far.length, delta: mean(far) } : null,
      deciles: targets.length >= LONG ? decilesOf(deltas) : null,
    };
  });
};

function oddsOf(right: number, ids: ReadonlyArray<ReadonlyArray<number>>, logits: ReadonlyArray<Logits>): number | null {
  const wrong = logits.map((rows, d) => nllOf(rows.map(factsOf), rows, ids[d] ?? []).reduce((sum, x) => sum + x, 0));
  return wrong.length === 0 ? null : Math.min(...wrong) - right;
}

const decilesOf = (deltas: ReadonlyArray<number>): ReadonlyArray<number> =>
  Array.from({ length: 10 }, (_, d) => mean(deltas.slice(Math.floor(d * deltas.length / 10), Math.floor((d + 1) * deltas.length / 10))));

/** KL(base ‖ row), nats, from the rows and their log-sum-exps. */
function divergence(base: Float32Array | undefined, zp: number, row: Float32Array | undefined, zq: number): number {
  if (base === undefined || row === undefined || base === row) return 0;
  let kl = 0;
  for (let i = 0; i < base.length; i++) {
    const logP = (base[i] ?? 0) - zp;
    // Below e^-30 the products of a vocabulary add less than 1e-7: nothing that a mean shows.
    if (logP > -30) kl += Math.exp(logP) * (logP - ((row[i] ?? 0) - zq));
  }
  // Rounding can take the divergence of equal rows a little below its true minimum.
  return Math.max(0, kl);
}

function factsOf(row: Float32Array): RowFacts {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  const top = row[best] ?? 0;
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp((row[i] ?? 0) - top);
  return { lse: top + Math.log(sum), best };
}

/** The mean; 0 of nothing. */
export const mean = (numbers: ReadonlyArray<number>): number =>
  numbers.length === 0 ? 0 : numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** The element below which this share of the numbers lies; 0 of nothing.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(quantile([3, 1, 2], 0.5), 2);
 * ```
 */
export function quantile(numbers: ReadonlyArray<number>, share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
