/**
 * kvfold: a transformer's key-value cache as a left fold over tokens, whose step is a policy, and the policy is plain data.
 *
 * This entry has cache values, planning, the runtime around them and the reference backend. Methods by name are in
 * `@kvfold/kvfold/papers`, what policies are made of in `@kvfold/kvfold/policy`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pipe } from "fp-ts/function.js";
 * import { and, bytesOf, compress, fromDense, openMemory, openReference, orThrow, rowsPerHead, uniformShape } from "./mod.ts";
 * import { knorm, streamingLlm } from "./papers/mod.ts";
 *
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 *
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 4 });
 * const ramp = Float32Array.from({ length: 32 * 4 }, (_, i) => Math.sin(i));
 * const full = await orThrow(fromDense(memory)({ shape, layers: [{ keys: ramp, values: ramp }] }));
 *
 * const policy = pipe(knorm({ rows: 16 }), and(streamingLlm({ rows: 8, sinks: 2 })));
 * const small = await orThrow(compress(memory, policy)(full));
 * assertEquals([rowsPerHead(full), rowsPerHead(small)], [[[32]], [[8]]]);
 * assertEquals(bytesOf(full).total + bytesOf(small).total, backend.liveBytes().buffers);
 * ```
 * @module
 */
export * from "./cache/mod.ts";
export type * from "./policy/types.ts";
export {
  adaptive,
  and,
  at,
  decoding,
  emptyPolicy,
  everySteps,
  type Limits,
  needs,
  onLayers,
  perLayer,
  policyFromJson,
  policyMonoid,
  policyToJson,
  protect,
  pyramid,
  type Rewrite,
  showPolicy,
  streaming,
  validatePolicy,
  withBudget,
} from "./policy/mod.ts";
export * from "./plan/mod.ts";
export * from "./run/mod.ts";
export type { Backend, Binding, Caps, LiveBytes, OpenBackend, Prepared, Weight, WeightSource, WeightType } from "./backends/backend.ts";
export type { Instr, Program, Slot, Value } from "./backends/program.ts";
export type { MapFn, OpName, OpParams, RowCodec, WovenParams } from "./backends/ops.ts";
export { openReference } from "./backends/reference/mod.ts";
