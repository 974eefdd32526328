/**
 * Golden cases of the papers, worked by hand: tiny caches, and the positions that stay. Every backend must give them exactly;
 * scores are far apart or exactly equal, so that rounding decides nothing.
 * @module
 */

/** One layer with one key per row and KV head, or with the attention its last queries pay. */
export type GoldenRows =
  /** [KV head][row][channel]. */
  | { readonly keys: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> }
  /** Probabilities [KV head][query head of its group][query][row]; the queries are those of the last positions. */
  | { readonly attention: ReadonlyArray<ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>> };

/** A case: the policy as text, what it sees, and the positions each KV head keeps. */
export interface Golden {
  readonly name: string;
  readonly policy: string;
  readonly rows: GoldenRows;
  /** Classes of the tokens that the queries belong to, where the policy observes them. */
  readonly classes?: ReadonlyArray<number>;
  readonly kept: ReadonlyArray<ReadonlyArray<number>>;
}

/** One-channel keys whose Knorm score is `score`. */
const keysFor = (scores: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> => scores.map((s) => [10 - s]);
const plain = (n: number): GoldenRows => ({ keys: [Array.from({ length: n }, () => [1])] });
const norms: GoldenRows = { keys: [[[3, 4], [1, 0], [0, 2]]] };
/** Votes of one query; the last row takes what is left of 1. */
const votes: GoldenRows = { attention: [[[[0.1, 0, 0.4, 0, 0, 0.2, 0.3]]]] };
const mass: GoldenRows = { attention: [[[[0.45, 0.05, 0.25, 0.1, 0.15]]]] };
/** What the last query pays in DBudgetKV's worked example. */
const tail: GoldenRows = { attention: [[[[0.5, 0.02, 0.03, 0.05, 0.1, 0.3]]]] };
/** FastGen's worked example: the attention of a prompt of five tokens. */
const prompt: GoldenRows = {
  attention: [[[[1], [0.8, 0.2], [0.6, 0.1, 0.3], [0.5, 0.1, 0.2, 0.2], [0.4, 0.05, 0.15, 0.1, 0.3]]]],
};
const flat: GoldenRows = { keys: [keysFor([0.5, 0.3, 0.1, 0.05]), keysFor([0.26, 0.25, 0.24, 0.23])] };
const steep: GoldenRows = { keys: [keysFor([0.5, 0.3, 0.1, 0.05]), keysFor([0.04, 0.03, 0.02, 0.01])] };
const opposed: GoldenRows = { keys: [keysFor([9, 8, 7, 6]), keysFor([1, 2, 3, 4])] };

/** The table. */
export const golden: ReadonlyArray<Golden> = [
  { name: "keepall keeps all", policy: "keepall", rows: norms, kept: [[0, 1, 2]] },
  { name: "StreamingLLM: 1 sink, 2 recent", policy: "streamingllm(3, sinks=1)", rows: plain(5), kept: [[0, 3, 4]] },
  { name: "StreamingLLM: half of 10, 4 sinks", policy: "streamingllm(50%)", rows: plain(10), kept: [[0, 1, 2, 3, 9]] },
  { name: "StreamingLLM: room for all", policy: "streamingllm(5, sinks=1)", rows: plain(5), kept: [[0, 1, 2, 3, 4]] },
  { name: "Knorm: scores -5, -1, -2", policy: "knorm(2)", rows: norms, kept: [[1, 2]] },
  { name: "Knorm: equal scores, lower positions stay", policy: "knorm(2)", rows: plain(4), kept: [[0, 1]] },
  { name: "Knorm: a share of 10 at 10 % is one row, exactly", policy: "knorm(10%)", rows: plain(10), kept: [[0]] },
  { name: "Knorm: a share never leaves no row", policy: "knorm(1%)", rows: plain(10), kept: [[0]] },
  { name: "KeyDiff: the key that differs", policy: "keydiff(1)", rows: { keys: [[[1, 0], [1, 0], [0, 1]]] }, kept: [[2]] },
  { name: "KeyDiff: then the lower of two alike", policy: "keydiff(2)", rows: { keys: [[[1, 0], [1, 0], [0, 1]]] }, kept: [[0, 2]] },
  {
    name: "KeyDiff: lengths do not matter, only directions",
    policy: "keydiff(1)",
    rows: { keys: [[[100, 0], [1, 0], [0, 0.1]]] },
    kept: [[2]],
  },
  { name: "SnapKV: best votes and the window", policy: "snapkv(3, window=1, kernel=1)", rows: votes, kept: [[2, 5, 6]] },
  { name: "SnapKV: max pooling keeps neighbours", policy: "snapkv(4, window=1, kernel=3)", rows: votes, kept: [[1, 2, 3, 6]] },
  {
    name: "SnapKV: mean pooling divides by the kernel at the borders too: .0333, .1667, .1333, .14, .0733, .0733",
    policy: "snapkv(3, window=1, kernel=3, pool=mean)",
    rows: { attention: [[[[0.1, 0, 0.4, 0, 0.02, 0.2, 0.28]]]] },
    kept: [[1, 3, 6]],
  },
  {
    name: "SnapKV: two queries of the window vote together, the later sees more",
    policy: "snapkv(3, window=2, kernel=1)",
    rows: { attention: [[[[0.2, 0.5, 0.1, 0.2, 0], [0.6, 0.1, 0.1, 0.1, 0.1]]]] },
    kept: [[0, 3, 4]],
  },
  {
    name: "TOVA: the mean over two query heads of one KV head",
    policy: "tova(3)",
    rows: { attention: [[[[0.5, 0.1, 0.2, 0.2]], [[0.1, 0.1, 0.6, 0.2]]]] },
    kept: [[0, 2, 3]],
  },
  {
    name: "TOVA: the mean over two KV heads, the same rows for both",
    policy: "tova(3)",
    rows: { attention: [[[[0.5, 0.1, 0.2, 0.2]]], [[[0.1, 0.1, 0.6, 0.2]]]] },
    kept: [[0, 2, 3], [0, 2, 3]],
  },
  {
    name: "TOVA: not even the newest row is safe",
    policy: "tova(2)",
    rows: { attention: [[[[0.5, 0.4, 0.1]]]] },
    kept: [[0, 1]],
  },
  { name: "H2O: two heavy hitters and one recent row", policy: "h2o(3, recent=1)", rows: mass, kept: [[0, 2, 4]] },
  { name: "H2O: recent rows as a share of the budget", policy: "h2o(4, recent=50%)", rows: mass, kept: [[0, 2, 3, 4]] },
  { name: "Ada-KV: even scores, even heads", policy: "knorm(2)|ada(0)", rows: flat, kept: [[0, 1], [0, 1]] },
  { name: "Ada-KV: one head takes all but the floor", policy: "knorm(2)|ada(50%)", rows: steep, kept: [[0, 1, 2], [0]] },
  { name: "Ada-KV: no floor", policy: "knorm(2)|ada(0)", rows: opposed, kept: [[0, 1, 2, 3], []] },
  { name: "Ada-KV: a full floor is no competition", policy: "knorm(2)|ada(100%)", rows: opposed, kept: [[0, 1], [2, 3]] },
  {
    name: "R-KV: of two keys alike the older leaves; mean cosines .32, .16, .2, 0 beside the window",
    policy: "rkv(4, window=1, lambda=0)",
    rows: { keys: [[[1, 0, 0], [0, 1, 0], [1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]]] },
    kept: [[1, 2, 3, 4]],
  },
  {
    name: "R-KV: then the newer of them",
    policy: "rkv(3, window=1, lambda=0)",
    rows: { keys: [[[1, 0, 0], [0, 1, 0], [1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]]] },
    kept: [[1, 3, 4]],
  },
  {
    name: "R-KV: importance alone is SnapKV with 7 neighbours: .5 reaches three rows on either side, .1 the row before",
    policy: "rkv(3, window=1, lambda=1)",
    rows: { attention: [[[[0.1, 0.05, 0, 0, 0, 0.5, 0, 0, 0, 0.35]]]] },
    kept: [[2, 3, 9]],
  },
  {
    name: "DBudgetKV: two candidates may go, sinks apart",
    policy: "dbudgetkv(0.01, sinks=1, exempt=0)",
    rows: tail,
    kept: [[0, 3, 4, 5]],
  },
  {
    name: "DBudgetKV: three with the sink in the norm, as equation 3 has it",
    policy: "dbudgetkv(0.01, sinks=1, exempt=0, scope=all)",
    rows: tail,
    kept: [[0, 4, 5]],
  },
  {
    name: "DBudgetKV: flat attention over 1,000 candidates: floor(0.0199 * 1000) = 19 leave",
    policy: "dbudgetkv(0.01, exempt=0)",
    rows: plain(1004),
    kept: [[0, 1, 2, 3, ...Array.from({ length: 981 }, (_, i) => 23 + i)]],
  },
  {
    name: "DBudgetKV: no loss allowed drops only rows that get nothing at all",
    policy: "dbudgetkv(0, sinks=1, exempt=0)",
    rows: { attention: [[[[0.5, 0, 0, 0.2, 0.3]]]] },
    kept: [[0, 3, 4]],
  },
  {
    name: "DBudgetKV: one count for the layer: the first row is .445 of one head's norm, nothing of the other's, .223 of both",
    policy: "dbudgetkv(0.3, sinks=0, exempt=0)",
    rows: { attention: [[[[0.6, 0, 0.4]]], [[[0, 0.6, 0.4]]]] },
    kept: [[1, 2], [1, 2]],
  },
  ...(["0.6: the special token alone recovers .66", "0.75: and punctuation, .79", "0.9: and heavy hitters 4 and 3, .91"] as const).map((
    name,
    i,
  ) => ({
    name: `FastGen at ${name}`,
    policy: `fastgen(${[0.6, 0.75, 0.9][i]})`,
    rows: prompt,
    classes: [1, 0, 2, 0, 0],
    kept: [[[0], [0, 2], [0, 2, 3, 4]][i] ?? []],
  })),
  {
    name: "FastGen at 0.95: the window of one, and heavy hitters 3 and 1, which is everything",
    policy: "fastgen(0.95)",
    rows: prompt,
    classes: [1, 0, 2, 0, 0],
    kept: [[0, 1, 2, 3, 4]],
  },
  {
    name: "FastGen: rules that keep nothing are no rules: without special tokens and punctuation heavy hitters come first",
    policy: "fastgen(0.01)",
    rows: prompt,
    classes: [0, 0, 0, 0, 0],
    kept: [[0, 4]],
  },
  {
    name: "LagKV: blocks of two on the scale of the next: deviations .354, 0 and 0, 1.414; sinks, last block and tail stay",
    policy: "lagkv(6, sinks=1, lag=2)",
    rows: { keys: [[[9, 9], [0, 1], [0, 0], [0, 0], [0, 2], [0, 0], [1, 1], [5, 5]]] },
    kept: [[0, 1, 4, 5, 6, 7]],
  },
  {
    name: "LagKV: too short for two blocks: the newest stay",
    policy: "lagkv(2, sinks=1, lag=2)",
    rows: { keys: [[[9], [0], [0], [0]]] },
    kept: [[2, 3]],
  },
  {
    name: "CriticalKV: half of the budget by the score (the smallest keys), half by score times value norm",
    policy: "knorm(2)|critical(50%)",
    // Values are 1, 2, 3, 4: scores -1, -5, -2, -3 become about -1, -10, -6, -12.
    rows: { keys: [[[1], [5], [2], [3]]] },
    kept: [[0, 2]],
  },
  {
    name: "and: the second evicts from what the first left",
    policy: "streamingllm(4, sinks=0)+knorm(1)",
    rows: { keys: [[[1], [2], [9], [5], [4], [8]]] },
    kept: [[4]],
  },
];
