/**
 * One timed run of a model: prefill, then decode. Runs in Deno and in a page alike.
 * @module
 */
import { bytesOf } from "../cache/mod.ts";
import { disposeSession, type Model, prefill, step } from "../model/mod.ts";
import type { Policy } from "../policy/types.ts";
import { orThrow } from "../run/or_throw.ts";

/** Tokens per second. */
export interface Speed {
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** Steps that decoding is timed over. */
export const DECODED = 32;
/** Threads of everything that is compared. */
export const THREADS = 2;

/** Reads the ids under a policy, then decodes {@link DECODED} given tokens; `cacheBytes` is the cache at the end of prefill. */
export async function timeRun(
  model: Model,
  policy: Policy,
  ids: ReadonlyArray<number>,
): Promise<Speed & { readonly cacheBytes: number }> {
  const start = performance.now();
  let session = await orThrow(prefill(model, policy, { room: DECODED })(ids));
  const prefilled = performance.now();
  const cacheBytes = bytesOf(session.cache).total;
  for (let i = 0; i < DECODED; i++) session = await orThrow(step(ids[i] ?? 0)(session));
  const decoded = performance.now();
  await orThrow(disposeSession(session));
  return {
    prefillTokensPerSecond: ids.length / (prefilled - start) * 1000,
    decodeTokensPerSecond: DECODED / (decoded - prefilled) * 1000,
    cacheBytes,
  };
}
