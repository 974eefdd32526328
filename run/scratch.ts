/**
 * Buffers and programs that live for one operation.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Binding, Weight } from "../backends/backend.ts";
import type { Program } from "../backends/program.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer } from "../cache/types.ts";
import type { PolicyPlan } from "../plan/types.ts";
import type { Memory } from "./memory.ts";
import { allocAll, freeAll } from "./storage.ts";

/** What a scratch buffer holds at first: bytes, or so many zeros. */
export interface Scratch {
  readonly label: string;
  readonly content: Uint8Array | number;
}

/** What a plan's ops read beside the cache. */
export const tableScratch = ({ tables }: Pick<PolicyPlan, "tables">): ReadonlyArray<Scratch> =>
  tables.map(({ name, numbers }) => ({ label: name, content: bytesIn(numbers) }));

/** Allocates scratch buffers, uses them, frees them whatever happens. */
export const withScratch = <A>(
  memory: Memory,
  wanted: ReadonlyArray<Scratch>,
  use: (buffers: Readonly<Record<string, Buffer>>) => TaskEither<KvError, A>,
): TaskEither<KvError, A> =>
async () => {
  const sizes = wanted.map(({ label, content }) => ({ label, bytes: typeof content === "number" ? content : content.byteLength }));
  const got = allocAll(memory, sizes)();
  if (E.isLeft(got)) return got;
  const filled = fill(memory, wanted, got.right);
  const result = E.isLeft(filled) ? filled : await use(Object.fromEntries(got.right.map((b) => [b.label, b])))();
  const freed = freeAll(memory, got.right)();
  return E.isRight(result) && E.isLeft(freed) ? freed : result;
};

function fill(memory: Memory, wanted: ReadonlyArray<Scratch>, buffers: ReadonlyArray<Buffer>): E.Either<KvError, void> {
  for (const [i, { content }] of wanted.entries()) {
    const buffer = buffers[i];
    if (typeof content === "number" || buffer === undefined || content.byteLength === 0) continue;
    const wrote = memory.backend.write(buffer, 0, content)();
    if (E.isLeft(wrote)) return wrote;
  }
  return E.right(undefined);
}

/** Prepares a program, runs it once, releases it. */
export const runOnce = (
  memory: Memory,
  program: Program,
  bindings: Readonly<Record<string, Binding>>,
  weights: Readonly<Record<string, Weight>> = {},
): TaskEither<KvError, void> =>
async () => {
  const prepared = await memory.backend.prepare(program, weights)();
  if (E.isLeft(prepared)) return prepared;
  const ran = memory.backend.run(prepared.right, bindings)();
  const released = memory.backend.release(prepared.right)();
  return E.isLeft(ran) ? ran : released;
};

/** Buffers as whole bindings. */
export const wholly = (buffers: Readonly<Record<string, Buffer>>): Readonly<Record<string, Binding>> =>
  Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, { buffer }]));

/** f32 [count] at the start of a buffer. */
export const readNumbers = (memory: Memory, buffer: Buffer, count: number): TaskEither<KvError, Float32Array> =>
  TE.map((bytes: Uint8Array) => new Float32Array(bytes.slice().buffer))(memory.backend.read(buffer, 0, count * 4));

/** The bytes of a typed array, without copying. */
export const bytesIn = (array: Float32Array | Uint32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
