/**
 * What compositions are made of: every method in a size that acts on a few dozen tokens, rewrites, and ways to code rows.
 * @module
 */

/** Every method that is a policy, in sizes that act on 24 tokens. */
export const methods: Readonly<Record<string, string>> = {
  keepall: "keepall",
  streamingllm: "streamingllm(9, sinks=2)",
  knorm: "knorm(50%)",
  keydiff: "keydiff(10)",
  snapkv: "snapkv(8, window=3, kernel=3)",
  tova: "tova(7)",
  h2o: "h2o(8)",
  rkv: "rkv(9, buffer=2, window=3)",
  dbudgetkv: "dbudgetkv(0.2, sinks=1, exempt=1)",
  fastgen: "fastgen(0.7)",
  lagkv: "lagkv(8, sinks=1, lag=3)",
  kvsharer: "kvsharer([0, 0, 2])",
  quest: "quest(8, page=4, dense=0)",
  rocketkv: "rocketkv(16, length=24, answer=6, window=3, kernel=3)",
  rocketkv_mt: "rocketkv_mt(16, length=24, answer=6, window=3, kernel=3)",
  expected: "expected(8, queries=4, future=8, sinks=1)",
  clusterkv: "clusterkv(9, per=4, sinks=1, window=4, added=2, dense=0)",
};
/** Rewrites that a method may bear, most often none. */
export const rewrites = [
  "",
  "",
  "|ada(20%)",
  "|pyramid(4)",
  "|streaming",
  "|decoding",
  "|merge",
  "|critical(50%)",
  "|layers(1..)",
  "|protect(1)",
  "|rerotate",
];

/** Codes, tiers, and bytes for rows; those that begin with a bar rewrite every method of the composition. */
export const codes: Readonly<Record<string, string>> = {
  "rows coded from the start": "encode(q8, values=q4)",
  "rows coded after the prompt": "encode(q4g32, values=q4g32, at=prefill)",
  "old rows coded as they get old": "encode(q8, values=q2, at=append, recent=5)",
  kivi: "kivi(4, residual=3)",
  think: "think(50%, queries=3, recent=4)",
  diffkv: "diffkv(1.2, low=0.4, window=4)",
  precision: "|precision(4, group=32)",
  "precision, chosen": "|precision(auto, group=row, recent=2)",
  "precision, as in KIVI": "|precision(2, group=32, keys=channel)",
};
