/**
 * Random policies and random policy texts for the laws and the fuzz tests.
 * @module
 */
import fc from "fast-check";
import * as E from "fp-ts/Either.js";
import {
  type Block,
  type Budget,
  type Layers,
  type Moment,
  type Nested,
  type Policy,
  policy,
  type Ratio,
  type Score,
} from "../policy/mod.ts";
import { parsePolicyWith, validatePolicy, type Verb } from "../policy/mod.ts";
import { registry } from "../papers/mod.ts";

/** Finite, not -0: JSON text has one zero. */
const finite: fc.Arbitrary<number> = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map((x) => x + 0);
const rowCount = fc.integer({ min: 64, max: 4096 });
/** Shares, not in lowest terms. */
export const ratio: fc.Arbitrary<Ratio> = fc.integer({ min: 1, max: 100 }).chain((denominator) =>
  fc.integer({ min: 1, max: denominator }).map((numerator) => ({ numerator, denominator }))
);

/** Objects as literals make them. */
const record = <A>(fields: { readonly [K in keyof A]: fc.Arbitrary<A[K]> }): fc.Arbitrary<A> =>
  fc.record<A>(fields, { noNullPrototype: true });

const tag = <T extends string>(_tag: T) => fc.constant(_tag);
const simpleBudget: fc.Arbitrary<Budget> = fc.oneof(
  record({ _tag: tag("Rows"), rows: rowCount }),
  record({ _tag: tag("Share"), share: ratio }),
);
const budget: fc.Arbitrary<Budget> = fc.oneof(
  simpleBudget,
  record({ _tag: tag("PerLayer"), budgets: fc.array(simpleBudget, { minLength: 1, maxLength: 4 }) }),
  record({
    _tag: tag("Fitted"),
    fit: record({
      of: simpleBudget,
      pairs: fc.constant([{ keys: "f16", values: "f16" }, { keys: "q8", values: "q4" }] as const),
      counted: fc.constantFrom("bytes", "nominal" as const),
    }),
  }),
  record({
    _tag: tag("Pyramid"),
    mean: simpleBudget,
    window: fc.integer({ min: 0, max: 32 }),
    beta: fc.integer({ min: 1, max: 40 }),
    form: fc.constantFrom("steps", "line" as const),
  }),
);

const fold = fc.constantFrom("sum", "mean", "max" as const);
const nested: fc.Arbitrary<Nested> = record({ frequent: ratio, local: ratio, sinks: fc.nat(16) });
const leaf: fc.Arbitrary<Score> = fc.oneof(
  record({ _tag: tag("Constant"), value: finite }),
  fc.constant<Score>({ _tag: "Position" }),
  record({ _tag: tag("Norm"), of: fc.constantFrom("keys", "values" as const), by: fc.constantFrom("l1", "l2" as const) }),
  fc.constant<Score>({ _tag: "KeySimilarity" }),
  record({
    _tag: tag("Attention"),
    queries: fc.oneof(
      fc.constant({ _tag: "Current" as const }),
      record({ _tag: tag("Last"), count: fc.integer({ min: 1, max: 64 }) }),
    ),
    overQueries: fold,
    overGroup: fold,
  }),
  record({ _tag: tag("GroupVotes"), queries: fc.integer({ min: 1, max: 64 }), dropLast: fc.nat(64) }),
  record({
    _tag: tag("Redundancy"),
    above: fc.integer({ min: -10, max: 10 }).map((x) => x / 10 + 0),
    spares: fc.constantFrom("newest", "own", "first" as const),
  }),
  record({ _tag: tag("TailLoss"), sinks: fc.nat(16), scope: fc.constantFrom("candidates", "all" as const) }),
  record({ _tag: tag("Nearby"), within: ratio, overGroup: fold }),
  record({ _tag: tag("LagSpread"), sinks: fc.nat(16), lag: fc.integer({ min: 1, max: 256 }), ranked: fc.boolean() }),
  record({
    _tag: tag("PageBound"),
    page: fc.integer({ min: 1, max: 64 }),
    channels: fc.constantFrom(null, { numerator: 1, denominator: 3 }),
    by: fc.constantFrom("max", "softmax" as const),
    within: fc.constantFrom<Score | null>(null, { _tag: "Column", name: "seen", initial: 0 }),
  }),
  record({ _tag: tag("QueriesSeen"), window: fc.constantFrom(null, 1, 64) }),
  record({ _tag: tag("Column"), name: fc.constantFrom("mass", "seen"), initial: fc.constant(0) }),
);
const score: fc.Arbitrary<Score> = fc.letrec<{ readonly score: Score }>((tie) => ({
  score: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    record({
      _tag: tag("Pool"),
      by: fc.constantFrom("max", "mean" as const),
      size: fc.integer({ min: 0, max: 20 }).map((n) => 2 * n + 1),
      dropLast: fc.nat(64),
      of: tie("score"),
    }),
    record({ _tag: tag("HeadMean"), of: tie("score") }),
    record({ _tag: tag("Softmax"), dropLast: fc.nat(64), of: tie("score") }),
    record({
      _tag: tag("Profile"),
      mass: tie("score"),
      near: tie("score"),
      kind: tie("score"),
      rules: nested,
      recovery: fc.integer({ min: 1, max: 20 }).map((n) => n / 20),
    }),
    record({ _tag: tag("Obey"), mass: tie("score"), kind: tie("score"), rule: tie("score"), rules: nested }),
    record({ _tag: tag("Promote"), share: ratio, first: tie("score"), then: tie("score") }),
    record({ _tag: tag("Unary"), fn: fc.constantFrom("neg", "abs", "exp", "log", "sqrt" as const), of: tie("score") }),
    record({
      _tag: tag("Binary"),
      fn: fc.constantFrom("add", "sub", "mul", "div", "max", "min" as const),
      left: tie("score"),
      right: tie("score"),
    }),
  ),
})).score;

const evict: fc.Arbitrary<Verb> = record({
  _tag: tag("Evict"),
  score,
  budget,
  protect: record({ sinks: fc.integer({ min: 0, max: 16 }), recent: fc.oneof(fc.integer({ min: 0, max: 32 }), ratio) }),
  compete: fc.option(fc.option(ratio)),
  merge: fc.boolean(),
}).map(({ compete, ...rest }) => ({ ...rest, across: compete === null ? "head" as const : "layer" as const, floor: compete }));
/** At the end of the prompt: heads of all layers compete, and a prompt is read again. */
const atEnd: fc.Arbitrary<Verb> = fc.oneof(
  fc.tuple(evict, fc.option(ratio)).map(([v, floor]): Verb => v._tag === "Evict" ? { ...v, across: "model", floor } : v),
  record({
    _tag: tag("Remember"),
    name: fc.constantFrom("again", "once"),
    initial: fc.constant(0),
    score: record({
      _tag: tag("Reconstruction"),
      plus: fc.boolean(),
      denominators: fc.constantFrom("training", "inference" as const),
      chunk: fc.integer({ min: 1, max: 4096 }),
      per: fc.constantFrom("row", "head" as const),
    }),
    by: fc.constant("set" as const),
  }),
);
const remember: fc.Arbitrary<Verb> = record({
  _tag: tag("Remember"),
  name: fc.constantFrom("mass", "seen"),
  initial: fc.constant(0),
  score,
  by: fc.constantFrom("set", "sum", "max" as const),
});
const named: fc.Arbitrary<Verb> = record({ _tag: tag("Score"), name: fc.constantFrom("first", "second"), score });
const encode: fc.Arbitrary<Verb> = record({
  _tag: tag("Encode"),
  keys: fc.constantFrom("f32", "f16", "q8" as const),
  values: fc.constantFrom("f32", "f16", "q4" as const),
  recent: fc.constant(0),
  below: fc.constant(null),
  fit: fc.constant(null),
  channels: fc.constant(null),
});
const thinned: fc.Arbitrary<Verb> = record({
  _tag: tag("Encode"),
  keys: fc.constantFrom("f16k60", "f16k10" as const),
  values: fc.constantFrom("f32", "f16", "q4" as const),
  recent: fc.nat(64),
  below: fc.constant(null),
  fit: fc.constant(null),
  channels: fc.integer({ min: 1, max: 64 }),
});

const admit: fc.Arbitrary<Verb> = record({
  _tag: tag("Admit"),
  score: fc.oneof(score, record({ _tag: tag("Learned"), name: fc.constantFrom("kvzap-mlp", "gate") })),
  threshold: finite,
  sinks: fc.nat(16),
});
const admission: fc.Arbitrary<Moment> = fc.oneof(
  fc.constant<Moment>({ _tag: "Append" }),
  fc.integer({ min: 1, max: 512 }).map((window): Moment => ({ _tag: "OnExit", window })),
);

const acting: fc.Arbitrary<Moment> = fc.oneof(
  fc.constantFrom<Moment>({ _tag: "PrefillEnd" }, { _tag: "Append" }, { _tag: "Chunk" }, { _tag: "Step" }),
  fc.integer({ min: 1, max: 99 }).map((steps): Moment => ({ _tag: "Every", steps })),
);
const layers: fc.Arbitrary<Layers> = fc.oneof(
  fc.constant<Layers>({ _tag: "All" }),
  fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 9 })).map(([from, n]): Layers => ({ _tag: "Range", from, to: from + n })),
  fc.array(fc.integer({ min: -4, max: 9 }), { minLength: 1, maxLength: 4 }).map((list): Layers => ({ _tag: "List", layers: list })),
);
const block: fc.Arbitrary<Block> = fc.oneof(
  {
    weight: 5,
    arbitrary: record({ moment: acting, layers, verbs: fc.array(fc.oneof(evict, remember, named), { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 1, arbitrary: record({ moment: admission, layers, verbs: admit.map((v) => [v]) }) },
  {
    weight: 1,
    arbitrary: record({
      moment: fc.constant<Moment>({ _tag: "PrefillEnd" }),
      layers,
      verbs: fc.array(atEnd, { minLength: 1, maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: record({ moment: fc.constant<Moment>({ _tag: "Build" }), layers, verbs: encode.map((v) => [v]) }) },
  { weight: 1, arbitrary: record({ moment: fc.constant<Moment>({ _tag: "PrefillEnd" }), layers, verbs: thinned.map((v) => [v]) }) },
);

/** Both columns that random scores read are remembered, so that random policies mean something. */
const columns: Block = {
  moment: { _tag: "Append" },
  layers: { _tag: "All" },
  verbs: ["mass", "seen"].map((name): Verb => ({ _tag: "Remember", name, initial: 0, score: { _tag: "Constant", value: 1 }, by: "sum" })),
};

/** Valid policies, most of which only JSON can say. */
export const anyPolicy: fc.Arbitrary<Policy> = fc.tuple(fc.array(block, { maxLength: 4 }), fc.stringMatching(/^[a-z]{1,8}$/))
  .map(([blocks, name]) => blocks.length === 0 ? policy("keepall", []) : policy(name, [columns, ...blocks]))
  .filter((p) => E.isRight(validatePolicy(p)));

const argument = fc.constantFrom(
  "",
  "(256)",
  "(25%)",
  "(1/3)",
  "(0.5)",
  "(rows=512)",
  "(share=10%)",
  "( 333 )",
  "(128, decode=yes)",
  "(100, decode=no)",
);
const term = fc.oneof(
  fc.tuple(fc.constantFrom("streamingllm", "knorm", "keydiff", "tova"), argument).map(([name, args]) => name + args),
  fc.constantFrom(
    "keepall",
    "snapkv",
    "snapkv(512, window=8, pool=mean)",
    "snapkv(20%, 16, 5)",
    "h2o",
    "h2o(256, recent=64)",
    "h2o(30%, recent=1/3)",
    "rkv(512, lambda=0.07)",
    "rkv(25%, 64, alike=-0.25, prompt=no)",
    "dbudgetkv",
    "fastgen",
    "fastgen(0.9, frequent=25%, local=1/3, sinks=4)",
    "lagkv",
    "lagkv(512, lag=64, cross=yes)",
    "dbudgetkv(0.05, scope=all, exempt=0)",
    "kvzip(25%)",
    "kvzip(300, plus=yes, cut=layer, chunk=128, denominators=training, sinks=0)",
    "kvzipheads(40%, sinks=2, recent=8)",
    "kvzap(-4.5)",
    "kvzap(-inf, 64, sinks=0, prefill=dense, decode=no)",
  ),
);
const wrapper = fc.constantFrom(
  ...[
    "ada",
    "ada(0)",
    "ada(0.3)",
    "merge",
    "critical",
    "critical(25%, epsilon=0.01)",
    "pyramid",
    "pyramid(7)",
    "streaming",
    "decoding",
    "every(8)",
    "at(append)",
    "at(every:4)",
  ],
  ...["layers(2..)", "layers(..-1)", "layers([0, 5])", "layers(3)", "budget(300)", "budget(40%)", "perlayer([300, 50%])", "protect(2)"],
  ...["protect(1, recent=16)", "protect(sinks=0, recent=25%)"],
);
const space = fc.constantFrom("", "", " ", "\n ");
const joined = (separator: string, parts: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(fc.tuple(parts, space, space), { minLength: 1, maxLength }).map((list) => list.map(([t, a, b]) => a + t + b).join(separator));

/** Texts that follow the grammar and use registered names; a few of them contradict themselves. */
export const anyText: fc.Arbitrary<string> = fc.letrec<{ readonly sum: string; readonly chain: string; readonly first: string }>((tie) => ({
  sum: joined("+", tie("chain"), 3),
  chain: fc.tuple(tie("first"), fc.array(fc.tuple(space, wrapper), { maxLength: 3 })).map(([of, rest]) =>
    of + rest.map(([a, w]) => `${a}|${w}`).join("")
  ),
  first: fc.oneof({ depthSize: "xsmall" }, term, tie("sum").map((s) => `(${s})`)),
})).sum;

/** Policies that text can say. */
export const spoken: fc.Arbitrary<Policy> = anyText.map(parsePolicyWith(registry)).filter(E.isRight).map((p) => p.right);
