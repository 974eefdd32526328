/**
 * Decoding under several policies side by side: each reads the same prompt, then all decode in turn on one machine, so that a busy minute
 * meets all of them. Also what reading cost, and the most bytes the cache held meanwhile.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { bytesOf } from "../cache/mod.ts";
import { disposeSession, type Model, openModel, prefill, type Session, step } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { summary } from "./time.ts";

/** One policy, next to the first one of the list. */
export interface PolicySpeed {
  readonly policy: string;
  readonly tokens: number;
  readonly prefillTokensPerSecond: number;
  /** Of the fastest turn: others tell of the machine's other work. */
  readonly decodeTokensPerSecond: number;
  readonly decodeMedian: number;
  /** Decode of this policy over decode of the first. */
  readonly ratio: number;
  readonly cacheBytes: number;
  /** Most live bytes of buffers after a chunk, over what it began with. */
  readonly peakBytes: number;
}

const TURNS = 6;
const STEPS = 16;

interface Reader {
  readonly policy: string;
  readonly session: Session;
  readonly seconds: number;
  readonly cacheBytes: number;
  readonly peakBytes: number;
}

async function read(model: Model, text: string, ids: ReadonlyArray<number>): Promise<Reader> {
  const policy = await orThrow(parsePolicy(text));
  const before = model.memory.backend.liveBytes().buffers;
  let peakBytes = 0;
  const progress = (): void => {
    peakBytes = Math.max(peakBytes, model.memory.backend.liveBytes().buffers - before);
  };
  const start = performance.now();
  const session = await orThrow(prefill(model, policy, { room: TURNS * STEPS, progress })(ids));
  const seconds = (performance.now() - start) / 1000;
  return { policy: text, session, seconds, cacheBytes: bytesOf(session.cache).total, peakBytes };
}

/** Speeds of `policies` after `ids`, with the model in the file `path`. */
export async function policySpeeds(
  path: string,
  ids: ReadonlyArray<number>,
  policies: ReadonlyArray<string>,
  threads: number,
): Promise<ReadonlyArray<PolicySpeed>> {
  await using backend = await orThrow(openWasm({ threads }));
  await using model = await orThrow(openModel(backend, path));
  const readers: Reader[] = [];
  for (const policy of policies) readers.push(await read(model, policy, ids));
  const sessions = readers.map(({ session }) => session);
  const times = readers.map((): number[] => []);
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [i, session] of sessions.entries()) {
      let at = session;
      const start = performance.now();
      for (let k = 0; k < STEPS; k++) at = await orThrow(step(ids[(turn * STEPS + k) % ids.length] ?? 0)(at));
      times[i]?.push((performance.now() - start) / 1000);
      sessions[i] = at;
    }
  }
  for (const session of sessions) await orThrow(disposeSession(session));
  const speed = (i: number): number => STEPS / summary(times[i] ?? []).fastest;
  return readers.map(({ policy, seconds, cacheBytes, peakBytes }, i) => ({
    policy,
    tokens: ids.length,
    prefillTokensPerSecond: ids.length / seconds,
    decodeTokensPerSecond: speed(i),
    decodeMedian: STEPS / summary(times[i] ?? []).median,
    ratio: speed(i) / speed(0),
    cacheBytes,
    peakBytes,
  }));
}
