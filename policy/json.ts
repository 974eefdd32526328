/**
 * Policies as JSON: the data as it is, read back strictly. Unknown keys, wrong types, numbers that are not finite, and
 * input that is too deep or too large are errors with a path; names of prototypes are ordinary unknown keys.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { type RowCodec, rowCodecs } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import { type Decoder, fault, flag, list, nullable, number, numberOr, string, struct, tagged, word } from "./decode.ts";
import { maxLayers } from "./moment.ts";
import type {
  Below,
  Block,
  Budget,
  CodecPair,
  Fit,
  Fold,
  Layers,
  Moment,
  Nested,
  Policy,
  Protect,
  QuerySet,
  Ratio,
  Score,
  Verb,
} from "./types.ts";
import { maxText, validatePolicy } from "./validate.ts";

/** Largest input: values inside each other, and values in all. */
const maxDepth = 64;
const maxValues = 100_000;

/** A JSON value that `JSON.stringify` writes and {@link policyFromJson} reads back as the same policy.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { snapKv } from "../papers/snap_kv.ts";
 * const policy = snapKv({ rows: 256 });
 * assertEquals(policyFromJson(JSON.parse(JSON.stringify(policyToJson(policy)))), E.right(policy));
 * ```
 */
export const policyToJson = (policy: Policy): unknown => structuredClone(policy);

/** Reads what {@link policyToJson} gives, from any source; the result is validated.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { showError } from "../cache/error.ts";
 * import * as E from "fp-ts/Either.js";
 * const wrong = policyFromJson({ _tag: "Policy", text: "mine", blocks: [{ moment: { _tag: "Later" } }] });
 * assertEquals(
 *   E.isLeft(wrong) && showError(wrong.left),
 *   'policy blocks[0].moment._tag: found "Later", allowed is Build, PrefillEnd, Append, Step, Every, OnExit, Chunk',
 * );
 * ```
 */
export function policyFromJson(value: unknown): E.Either<KvError, Policy> {
  const read = E.tryCatch(() => decode(value), () => unreadable);
  return E.flatten(read);
}

/** Proxies and getters may throw anything; plain JSON never comes here. */
const unreadable: KvError = { _tag: "InvalidPolicy", path: "json", value: "an object that cannot be read", allowed: "plain JSON" };

const decode = (value: unknown): E.Either<KvError, Policy> =>
  E.chain((policy: Policy) => validatePolicy(policy))(E.chain(() => policy(value, ""))(sized(value)));

/** Counts values before anything recurses. */
function sized(value: unknown): E.Either<KvError, void> {
  let level: unknown[] = [value];
  for (let depth = 0, seen = 0; level.length > 0; depth++) {
    seen += level.length;
    if (depth >= maxDepth) return fault("json", `deeper than ${maxDepth}`, `at most ${maxDepth} values inside each other`);
    if (seen > maxValues) return fault("json", `more than ${maxValues} values`, `at most ${maxValues} values`);
    const next: unknown[] = [];
    for (const one of level) {
      if (typeof one !== "object" || one === null) continue;
      const inner: ReadonlyArray<unknown> = Object.values(one);
      if (inner.length + next.length > maxValues) return fault("json", `more than ${maxValues} values`, `at most ${maxValues} values`);
      for (const v of inner) next.push(v);
    }
    level = next;
  }
  return E.right(undefined);
}

const name = string(32);
const ratio: Decoder<Ratio> = struct<Ratio>({ numerator: number, denominator: number });

const moment: Decoder<Moment> = tagged<Moment>({
  Build: struct({ _tag: word("Build") }),
  PrefillEnd: struct({ _tag: word("PrefillEnd") }),
  Append: struct({ _tag: word("Append") }),
  Step: struct({ _tag: word("Step") }),
  Every: struct({ _tag: word("Every"), steps: number }),
  OnExit: struct({ _tag: word("OnExit"), window: number }),
  Chunk: struct({ _tag: word("Chunk") }),
});

const layers: Decoder<Layers> = tagged<Layers>({
  All: struct({ _tag: word("All") }),
  Range: struct({ _tag: word("Range"), from: number, to: number }),
  List: struct({ _tag: word("List"), layers: list(number, maxLayers) }),
});

const budget: Decoder<Budget> = (value, path) => budgets(value, path);
const budgets: Decoder<Budget> = tagged<Budget>({
  Rows: struct({ _tag: word("Rows"), rows: number }),
  Share: struct({ _tag: word("Share"), share: ratio }),
  PerLayer: struct({ _tag: word("PerLayer"), budgets: list(budget, maxLayers) }),
  Pyramid: struct({ _tag: word("Pyramid"), mean: budget, window: number, beta: number, form: word("steps", "line") }),
  Above: struct({ _tag: word("Above"), value: number, floor: number }),
  Fitted: struct({ _tag: word("Fitted"), fit: (value, path) => fit(value, path) }),
});

const queries: Decoder<QuerySet> = tagged<QuerySet>({
  Current: struct({ _tag: word("Current") }),
  Last: struct({ _tag: word("Last"), count: number }),
});
const fold: Decoder<Fold> = word("sum", "mean", "max");

const nested: Decoder<Nested> = struct<Nested>({ frequent: ratio, local: ratio, sinks: number });

const score: Decoder<Score> = (value, path) => scores(value, path);
const scores: Decoder<Score> = tagged<Score>({
  Constant: struct({ _tag: word("Constant"), value: number }),
  Position: struct({ _tag: word("Position") }),
  Norm: struct({ _tag: word("Norm"), of: word("keys", "values"), by: word("l1", "l2") }),
  KeySimilarity: struct({ _tag: word("KeySimilarity") }),
  Attention: struct({ _tag: word("Attention"), queries, overQueries: fold, overGroup: fold }),
  Column: struct({ _tag: word("Column"), name, initial: number }),
  Pool: struct({ _tag: word("Pool"), by: word("max", "mean"), size: number, dropLast: number, of: score }),
  HeadMean: struct({ _tag: word("HeadMean"), of: score }),
  Unary: struct({ _tag: word("Unary"), fn: word("neg", "abs", "exp", "log", "sqrt"), of: score }),
  Binary: struct({ _tag: word("Binary"), fn: word("add", "sub", "mul", "div", "max", "min"), left: score, right: score }),
  Softmax: struct({ _tag: word("Softmax"), dropLast: number, of: score }),
  Expected: struct({ _tag: word("Expected"), queries: number, future: number, sinks: number, spread: flag }),
  GroupVotes: struct({ _tag: word("GroupVotes"), queries: number, dropLast: number }),
  Redundancy: struct({ _tag: word("Redundancy"), above: number, spares: word("newest", "own", "first") }),
  TailLoss: struct({ _tag: word("TailLoss"), sinks: number, scope: word("candidates", "all") }),
  Learned: struct({ _tag: word("Learned"), name }),
  Reconstruction: struct({
    _tag: word("Reconstruction"),
    plus: flag,
    denominators: word("training", "inference"),
    chunk: number,
    per: word("row", "head"),
  }),
  Gate: struct({ _tag: word("Gate"), name }),
  TokenClass: struct({ _tag: word("TokenClass") }),
  QueriesSeen: struct({ _tag: word("QueriesSeen"), window: nullable(number) }),
  Nearby: struct({ _tag: word("Nearby"), within: ratio, overGroup: fold }),
  Profile: struct({ _tag: word("Profile"), mass: score, near: score, kind: score, rules: nested, recovery: number }),
  Obey: struct({ _tag: word("Obey"), mass: score, kind: score, rule: score, rules: nested }),
  LagSpread: struct({ _tag: word("LagSpread"), sinks: number, lag: number, ranked: flag }),
  Promote: struct({ _tag: word("Promote"), share: ratio, first: score, then: score }),
  Kept: struct({ _tag: word("Kept"), of: score, rows: number, recent: number }),
  Clusters: struct({ _tag: word("Clusters"), into: name, per: number, count: number, sinks: number, iterations: number, seed: number }),
  Centroid: struct({ _tag: word("Centroid"), of: name }),
  PageBound: struct({
    _tag: word("PageBound"),
    page: number,
    channels: nullable(ratio),
    by: word("max", "softmax"),
    within: nullable(score),
  }),
});

const protect: Decoder<Protect> = struct<Protect>({ sinks: number, recent: numberOr(ratio) });
const codec: Decoder<RowCodec> = word(...rowCodecs);
const below = struct<Below>({ score, value: number, leave: nullable(number) });
const pair: Decoder<CodecPair> = struct<CodecPair>({ keys: codec, values: codec });
const fit: Decoder<Fit> = struct<Fit>({ of: budget, pairs: list(pair, 16), counted: word("bytes", "nominal") });

const verb: Decoder<Verb> = tagged<Verb>({
  Score: struct({ _tag: word("Score"), name, score }),
  Remember: struct({ _tag: word("Remember"), name, initial: number, score, by: word("set", "sum", "max") }),
  Admit: struct({ _tag: word("Admit"), score, threshold: number, sinks: number }),
  Evict: struct({
    _tag: word("Evict"),
    score,
    budget,
    across: word("head", "layer", "model"),
    floor: nullable(ratio),
    protect,
    merge: flag,
  }),
  Select: struct({ _tag: word("Select"), score, budget, protect }),
  Encode: struct({
    _tag: word("Encode"),
    keys: codec,
    values: codec,
    recent: number,
    below: nullable(below),
    fit: nullable(fit),
    channels: nullable(number),
  }),
  Rerotate: struct({ _tag: word("Rerotate") }),
  Share: struct({ _tag: word("Share"), from: number }),
  Transform: struct({ _tag: word("Transform"), ratio: number, sinks: number, recent: number }),
});

const block: Decoder<Block> = struct<Block>({ moment, layers, verbs: list(verb, 64) });
const policy: Decoder<Policy> = struct<Policy>({ _tag: word("Policy"), blocks: list(block, 1024), text: string(maxText) });
