/**
 * Running one case on a backend and on the oracle.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Backend, Binding, LiveBytes, Weight } from "../backends/backend.ts";
import type { OpName } from "../backends/ops.ts";
import { type KvError, showError } from "../cache/error.ts";
import type { Buffer } from "../cache/types.ts";
import { type Case, sentinels } from "./case.ts";
import { compareBuffer, isSentinels } from "./compare.ts";

/** How a backend fared on one case; it passed if there are no failures. */
export interface CaseReport {
  /** The op this was a case of. */
  readonly op: OpName;
  /** The case's label. */
  readonly label: string;
  /** One sentence per thing that is wrong. */
  readonly failures: ReadonlyArray<string>;
  /** Largest error of any buffer relative to the oracle's energy; 0 where bits are compared. */
  readonly nmse: number;
}

/** Every buffer of a case after a run, with the fences around it. */
interface Outcome {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly fences: Uint8Array;
}

/** Runs a case on both and compares: contents, fences, and live bytes back where they were. Never rejects; an error of the
 * backend is a failure in the report. */
export const checkOp = (backend: Backend, oracle: Backend): (one: Case) => Promise<CaseReport> => async (one) => {
  const report = (failures: ReadonlyArray<string>, nmse: number): CaseReport => ({ op: one.op, label: one.label, failures, nmse });
  const expected = await runCase(oracle, one)();
  if (E.isLeft(expected)) return report([`the reference refuses the case: ${showError(expected.left)}`], Infinity);
  const before = backend.liveBytes();
  const actual = await runCase(backend, one)();
  const leaks = showLeaks(before, backend.liveBytes());
  if (E.isLeft(actual)) return report([showError(actual.left), ...leaks], Infinity);
  const compared = compareOutcomes(one, expected.right, actual.right);
  return report([...compared.flatMap(({ failures }) => failures), ...leaks], Math.max(0, ...compared.map(({ nmse }) => nmse)));
};

function compareOutcomes(
  one: Case,
  expected: ReadonlyArray<Outcome>,
  actual: ReadonlyArray<Outcome>,
): ReadonlyArray<{ readonly failures: ReadonlyArray<string>; readonly nmse: number }> {
  const find = (outcomes: ReadonlyArray<Outcome>, name: string): Uint8Array =>
    outcomes.find((o) => o.name === name)?.bytes ?? new Uint8Array(0);
  const counts = (name: string): Uint32Array => new Uint32Array(find(expected, name).slice().buffer);
  return actual.map(({ name, bytes, fences }) => {
    const data = one.buffers[name];
    if (data === undefined) return { failures: [`${name}: not a buffer of the case`], nmse: Infinity };
    const compared = compareBuffer(name, data, find(expected, name), bytes, counts);
    return isSentinels(fences) ? compared : { ...compared, failures: [...compared.failures, `${name}: written outside the buffer`] };
  });
}

function showLeaks(before: LiveBytes, after: LiveBytes): ReadonlyArray<string> {
  const kinds = ["buffers", "weights", "scratch", "programs"] as const;
  return kinds.filter((kind) => before[kind] !== after[kind]).map((kind) => `${kind}: ${before[kind]} bytes before, ${after[kind]} after`);
}

/** What has to be given back after a case, whatever happened. */
type Release = () => E.Either<KvError, void>;

/** Bytes of fence on either side of every buffer, at least; a multiple of the alignment. */
const fenceBytes = (backend: Backend): number => Math.ceil(64 / backend.caps.alignment) * backend.caps.alignment;

function runCase(backend: Backend, one: Case): TE.TaskEither<KvError, ReadonlyArray<Outcome>> {
  return async () => {
    const releases: Release[] = [];
    const outcome = await runHolding(backend, one, releases)();
    const released = releases.reverse().map((release) => release()).find(E.isLeft);
    return E.isRight(outcome) && released !== undefined ? released : outcome;
  };
}

const runHolding = (backend: Backend, one: Case, releases: Release[]): TE.TaskEither<KvError, ReadonlyArray<Outcome>> => async () => {
  const fence = fenceBytes(backend);
  const buffers = openBuffers(backend, one, fence, releases);
  if (E.isLeft(buffers)) return buffers;
  const weights = loadWeights(backend, one, releases);
  if (E.isLeft(weights)) return weights;
  const prepared = await backend.prepare(one.program, weights.right)();
  if (E.isLeft(prepared)) return prepared;
  releases.push(backend.release(prepared.right));
  const done = backend.run(prepared.right, bindingsOf(buffers.right, fence))();
  if (E.isLeft(done)) return done;
  return await TE.traverseArray((name: string) => readOutcome(backend, one, buffers.right, name, fence))(Object.keys(one.buffers))();
};

type Buffers = ReadonlyMap<string, Buffer>;

const bindingsOf = (buffers: Buffers, offset: number): Readonly<Record<string, Binding>> =>
  Object.fromEntries([...buffers].map(([name, buffer]) => [name, { buffer, offset }]));

/** Buffers with a fence of sentinels before and after, the hindmost at least as long as the foremost. */
function openBuffers(backend: Backend, one: Case, fence: number, releases: Release[]): E.Either<KvError, Buffers> {
  const buffers = new Map<string, Buffer>();
  for (const [name, { bytes }] of Object.entries(one.buffers)) {
    const image = sentinels(fenced(bytes.length, fence));
    image.set(bytes, fence);
    const opened = pipe(
      backend.alloc(image.length, name)(),
      E.chain((buffer) => {
        releases.push(backend.free(buffer));
        buffers.set(name, buffer);
        return backend.write(buffer, 0, image)();
      }),
    );
    if (E.isLeft(opened)) return opened;
  }
  return E.right(buffers);
}

/** Bytes of a buffer with its fences; a multiple of 4. */
const fenced = (bytes: number, fence: number): number => fence + Math.ceil(bytes / 4) * 4 + fence;

function loadWeights(backend: Backend, one: Case, releases: Release[]): E.Either<KvError, Readonly<Record<string, Weight>>> {
  const weights: Record<string, Weight> = {};
  for (const source of one.weights) {
    const loaded = backend.loadWeight(source)();
    if (E.isLeft(loaded)) return loaded;
    releases.push(backend.freeWeight(loaded.right));
    weights[source.name] = loaded.right;
  }
  return E.right(weights);
}

function readOutcome(backend: Backend, one: Case, buffers: Buffers, name: string, fence: number): TE.TaskEither<KvError, Outcome> {
  const buffer = buffers.get(name);
  const size = one.buffers[name]?.bytes.length ?? 0;
  if (buffer === undefined) return TE.left({ _tag: "ShapeMismatch", at: one.label, expected: `a buffer ${name}`, actual: "none" });
  return pipe(
    backend.read(buffer, 0, fenced(size, fence)),
    TE.map((image) => {
      const fences = new Uint8Array(2 * fence);
      fences.set(image.subarray(0, fence));
      fences.set(image.subarray(image.length - fence), fence);
      return { name, bytes: image.slice(fence, fence + size), fences };
    }),
  );
}
