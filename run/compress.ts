/**
 * A policy applied to a cache a host has made: `compress` is pure for its caller, it works on a copy.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Binding } from "../backends/backend.ts";
import { ops } from "../backends/ops.ts";
import { type Instr, NONE, type Program } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { KvCache, LayerCache } from "../cache/types.ts";
import { ownLayers, storeTier } from "../cache/view.ts";
import { planPolicy } from "../plan/plan.ts";
import type { PolicyPlan } from "../plan/types.ts";
import type { Block, Policy } from "../policy/types.ts";
import { needs } from "../policy/needs.ts";
import { validatePolicy } from "../policy/validate.ts";
import { advance, bindings, checkSettled, growStores, settle, stage } from "./bind.ts";
import { jointScratch } from "./joint.ts";
import { type Memory, retire } from "./memory.ts";
import { observes, policyProgram } from "./policy_program.ts";
import { rerotateInPlace } from "./rerotate.ts";
import { classScratch } from "./slots.ts";
import { copyCache, shrink, tailOf } from "./resize.ts";
import { bytesIn, runOnce, type Scratch, tableScratch, withScratch } from "./scratch.ts";
import { conform } from "./transform.ts";

/** Queries a host observed, for policies that score by attention. */
export interface Observations {
  /** Per layer f32 [positions.length, queryHeads, keyDim], after rotation, in order of position. */
  readonly queries: ReadonlyArray<Float32Array>;
  /** Position of each query, ascending. */
  readonly positions: ReadonlyArray<number>;
  /** Class of the token at each of these positions, for policies that observe it: 0, 1 special, 2 punctuation. */
  readonly tokenClass?: ReadonlyArray<number>;
}

/** A new cache value under this policy, as if the rows had just been prefilled in one chunk by the observed queries: what
 * acts at Build, Append and PrefillEnd acts. `cache` reads back unchanged afterwards; dispose both. Left if the policy does
 * not fit, or observes queries that are not given (for a window of n, at least n of them).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { compress, fromDense, openMemory, openReference, orThrow, read, uniformShape } from "../mod.ts";
 * import { knorm } from "../papers/mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: Float32Array.of(3, 0, 0, 1, 2, 0), values: new Float32Array(6) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * const small = await orThrow(compress(memory, knorm({ rows: 2 }))(cache));
 * const [head] = (await orThrow(read(memory)(small))).layers[0] ?? [];
 * assertEquals([...head?.positions ?? []], [1, 2]); // the two rows with the smallest keys
 * ```
 */
export const compress =
  (memory: Memory, policy: Policy): (cache: KvCache, observations?: Observations) => TE.TaskEither<KvError, KvCache> =>
  (cache, observations) =>
    pipe(
      TE.fromEither(checkInput(memory, cache, observations)),
      TE.chainEitherK(() => planFor(memory, policy, cache, observations)),
      TE.chain((plan) =>
        pipe(
          copyCache(memory, { flatten: true, capacities: (_, segments) => segments.map((s) => s.length) })(cache),
          TE.chain(conform(memory, plan)),
          TE.chain(growStores(memory, plan, { _tag: "PrefillEnd" }, 0)),
          TE.chain((copy) => applyPlan(memory, plan, observations)(copy)),
        )
      ),
    );

/** Plans the policy for this cache: codecs and shared layers stay as they are unless the policy says otherwise. */
export function planFor(memory: Memory, policy: Policy, cache: KvCache, observations?: Observations): E.Either<KvError, PolicyPlan> {
  const sound = validatePolicy(policy, { layers: cache.layers.length });
  if (E.isLeft(sound)) return sound;
  const port = (["hidden", "rawKeys", "reconstruction"] as const).find((one) => needs(policy).has(one));
  if (port !== undefined) return E.left({ _tag: "MissingPort", port, wantedBy: policy.text });
  const first = ownLayers(cache)[0];
  const tail = first === undefined ? null : tailOf(first.own);
  return planPolicy({ ...policy, blocks: [...cache.layers.flatMap(asStored), ...policy.blocks] }, {
    shape: { layers: cache.layers.map((l) => l.shape), hidden: 0, vocab: 0, context: Number.MAX_SAFE_INTEGER },
    backend: memory.backend,
    promptTokens: Math.max(1, cache.nextPosition),
    chunk: Math.max(1, observations?.positions.length ?? 1),
    codec: tail?.keyCodec ?? { _tag: "Plain", dtype: "f16" },
  });
}

const asStored = (layer: LayerCache, l: number): ReadonlyArray<Block> => {
  const tail = layer._tag === "Own" ? tailOf(layer) : null;
  const verbs: Block["verbs"] = layer._tag === "Alias" ? [{ _tag: "Share", from: layer.layer }] : tail === null ? [] : [{
    _tag: "Encode",
    keys: codecName(tail.keyCodec),
    values: codecName(tail.valueCodec),
    recent: 0,
    below: null,
    fit: null,
    channels: null,
  }];
  return [{ moment: { _tag: "Build" }, layers: { _tag: "List", layers: [l] }, verbs }];
};

/** Runs the plan's Append and PrefillEnd blocks over a private value, which is consumed, also on Left. */
const applyPlan =
  (memory: Memory, plan: PolicyPlan, observations: Observations | undefined) =>
  (cache: KvCache): TE.TaskEither<KvError, KvCache> =>
  async () => {
    const done = await run(memory, plan, observations, cache)();
    if (E.isLeft(done)) {
      retire(memory, cache)();
      return done;
    }
    return await pipe(
      TE.fromIOEither(advance(memory, 0, true)(cache)),
      TE.chain(settle(memory)),
      TE.chain(shrink(memory)),
      TE.chain((pruned) => plan.rerotates ? rerotateInPlace(memory)(pruned) : TE.right(pruned)),
    )();
  };

const run = (memory: Memory, plan: PolicyPlan, observations: Observations | undefined, cache: KvCache): TE.TaskEither<KvError, void> => {
  const program = policyProgram(plan, cache, observations?.positions.length ?? 0);
  const missing = missingClasses(plan, observations) ?? missingQueries(program, plan, observations);
  if (missing !== null) return TE.left(missing);
  // Lengths are read back from the staged layout, also where nothing acts.
  if (program.body.length === 0) return TE.fromIOEither(stage(memory)(cache));
  const scratch: ReadonlyArray<Scratch> = [
    { label: "newest", content: bytesIn(Uint32Array.of(Math.max(0, cache.nextPosition - 1))) },
    ...tableScratch(plan),
    { label: "observed.position", content: bytesIn(Uint32Array.from(observations?.positions ?? [])) },
    ...jointScratch(plan, { _tag: "PrefillEnd" }, cache),
    ...(observations?.tokenClass === undefined ? [] : classScratch(cache.layers.map(({ shape }) => shape), observations.tokenClass)),
    ...(observations?.queries ?? []).map((queries, l) => ({ label: `L${l}.observed.queries`, content: bytesIn(queries) })),
  ];
  return withScratch(memory, scratch, (buffers) => {
    const own: Readonly<Record<string, Binding>> = Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, { buffer }]));
    return pipe(
      TE.fromIOEither(stage(memory)(cache)),
      TE.chain(() => runOnce(memory, program, { ...bindings(cache), ...own })),
    );
  });
};

/** Classes that the policy observes and nobody gave, or too few. */
function missingClasses(plan: PolicyPlan, observations: Observations | undefined): KvError | null {
  if (!plan.ports.has("tokenClass")) return null;
  if (observations?.tokenClass === undefined) return { _tag: "MissingPort", port: "tokenClass", wantedBy: plan.text };
  const [expected, actual] = [observations.positions.length, observations.tokenClass.length];
  return expected === actual
    ? null
    : { _tag: "ShapeMismatch", at: "observations tokenClass", expected: `${expected} classes`, actual: String(actual) };
}

/** An attention score that found no queries to look at, or too few. */
function missingQueries(program: Program, plan: PolicyPlan, observations: Observations | undefined): KvError | null {
  const lacks = (instr: Instr): boolean =>
    ops[instr.op].operands.some(({ optional }, i) => optional !== true && (instr.args[i] ?? NONE) === NONE);
  if (!program.body.some((instr) => observes(instr) && lacks(instr))) return null;
  if (observations === undefined) return { _tag: "MissingPort", port: "queries", wantedBy: plan.text };
  const window = Math.max(...plan.layers.map((l) => l.recentQueries));
  const value = `${observations.positions.length} queries`;
  return { _tag: "InvalidArgument", argument: "observations.positions", value, allowed: `at least the window of ${window} queries` };
}

function checkInput(memory: Memory, cache: KvCache, observations: Observations | undefined): E.Either<KvError, void> {
  const settled = checkSettled(memory, cache);
  if (E.isLeft(settled)) return settled;
  if (ownLayers(cache).some(({ own }) => storeTier(own) !== null)) {
    const because = "its older rows lie apart in codes; compress it before they pass on";
    return E.left({ _tag: "Unsupported", what: "this cache", where: "compress", because });
  }
  if (observations === undefined) return E.right(undefined);
  const { queries, positions } = observations;
  const mismatch = (at: string, expected: string, actual: number): E.Either<KvError, never> =>
    E.left({ _tag: "ShapeMismatch", at: `observations ${at}`, expected, actual: String(actual) });
  if (queries.length !== cache.layers.length) return mismatch("queries", `${cache.layers.length} layers`, queries.length);
  const wrong = cache.layers.findIndex(({ shape }, l) => queries[l]?.length !== positions.length * shape.queryHeads * shape.keyDim);
  const shape = cache.layers[wrong]?.shape;
  if (shape !== undefined) {
    return mismatch(
      `queries of layer ${wrong}`,
      `${positions.length} x ${shape.queryHeads} x ${shape.keyDim} numbers`,
      queries[wrong]?.length ?? 0,
    );
  }
  const bad = positions.findIndex((p, i) => !Number.isInteger(p) || p < 0 || p >= 0xffffffff || (i > 0 && p <= (positions[i - 1] ?? 0)));
  return bad < 0 ? E.right(undefined) : E.left({
    _tag: "InvalidArgument",
    argument: `observations.positions[${bad}]`,
    value: String(positions[bad]),
    allowed: "ascending positions",
  });
}
