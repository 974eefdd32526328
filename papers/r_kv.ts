/**
 * R-KV: while a model reasons, keep what is attended to and not said again later.
 * @module
 */
import { block, type Budgeted, type Card, constant, constructs, type Entry, every, evict, groupVotes, makes } from "../policy/mod.ts";
import { minus, param, pipe, type Policy, policy, pool, prefillEnd, redundancy, rows, showTerm, type Sized } from "../policy/mod.ts";
import { softmax, type Term, times } from "../policy/mod.ts";

/** Options of {@link rKv} beside its size, which counts the window. */
export interface RKvOptions {
  /** Decoded tokens between two choices. */
  readonly buffer: number;
  /** Newest queries that vote; their rows always stay. */
  readonly window: number;
  /** Weight of importance; the rest weighs redundancy. */
  readonly lambda: number;
  /** Keys with a larger cosine are alike. */
  readonly alike: number;
  /** Whom a likeness is not held against: the newer row, the row itself (equation 6), or the newer one or else the first row. */
  readonly spare: "newest" | "own" | "first";
  /** Also choose once at the end of the prompt. */
  readonly prompt: boolean;
}

const term: Term<Budgeted<RKvOptions>> = {
  name: "rkv",
  about: "while decoding, keeps rows that are attended to and not said again later; for long chains of thought",
  params: {
    budget: param.size,
    buffer: param.count("buffer", 1, param.maxRows),
    window: param.count("window", 1, 4096),
    lambda: param.decimal("lambda", 0, 1),
    alike: param.decimal("alike", -1, 1),
    prompt: param.flag("prompt"),
    spare: param.choice("spare", ["newest", "own", "first"]),
  },
  defaults: { budget: rows(1024), buffer: 128, window: 8, lambda: 0.1, alike: 0.5, prompt: true, spare: "newest" },
};

const make = (o: Budgeted<RKvOptions>): Policy => {
  const repeated = pipe(redundancy(o.alike, o.spare), softmax(0), times(constant(1 - o.lambda)));
  const leave = pipe(
    groupVotes(o.window, o.window),
    pool({ by: "max", size: 7, dropLast: o.window }),
    times(constant(o.lambda)),
    minus(repeated),
    evict({ budget: o.budget, protect: { sinks: 0, recent: o.window } }),
  );
  return policy(showTerm(term)(o), [...o.prompt ? [prefillEnd] : [], every(o.buffer)].map((moment) => block(moment, [leave])));
};

/** R-KV (arXiv 2505.24133, sections 3.2 to 3.4): lambda * I - (1 - lambda) * R; I pools the votes of the newest queries over 7
 * neighbours, R is the softmax of a key's mean cosine with the others.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(rKv({ rows: 512, lambda: 0.07 }).text, "rkv(512, lambda=0.07)");
 * ```
 */
export const rKv: (options?: Sized<RKvOptions>) => Policy = constructs(term, make);

/** `rkv(rows, buffer=, window=, lambda=, alike=, prompt=, spare=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "R-KV: Redundancy-aware KV Cache Compression for Reasoning Models",
  arxiv: "2505.24133",
  venue: "NeurIPS 2025; followed through Zefan-Cai/R-KV, nothing copied",
  defaults: "buffer 128, window 8, lambda 0.1: the paper; alike 0.5, 7 neighbours, one likeness spared: the authors' code",
  departures: [
    "the newest likeness is spared as in the code (a column mean); spare=own is equation 6 as printed, which charges it instead of the older copy",
    "one likeness is spared, where the code can spare the oldest or a share; choices come every buffer decoded tokens, not at new lines",
    "rows stay in order of position, so that newest means newest in every round; the code keeps them in order of score",
    "where no key is alike nothing is spared; the code then spares row 0, as spare=first does",
  ],
  example: "rkv(1024)",
};
