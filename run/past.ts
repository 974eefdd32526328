/**
 * Caches that another runtime made, by the names transformers.js gives them: pairs `past_key_values.{layer}.key` and `.value` of shape
 * [batch, kvHeads, length, dim].
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { Codec } from "../cache/types.ts";
import type { Policy } from "../policy/types.ts";
import { compress, type Observations } from "./compress.ts";
import { fromDense } from "./dense.ts";
import type { Memory } from "./memory.ts";
import { packSequences } from "./past_pack.ts";
import { type PastSequences, splitSequences } from "./past_split.ts";
import { read, type ReadRows } from "./read.ts";
import { scoped } from "./scoped.ts";

/** A tensor of a host: numbers in row-major order. */
export interface PastTensor {
  /** Sizes, outermost first. */
  readonly dims: ReadonlyArray<number>;
  /** Numbers, as many as the product of `dims`. */
  readonly data: Float32Array | Float16Array;
}

/** A host's cache by tensor name. */
export type PastKeyValues = Readonly<Record<string, PastTensor>>;

/** What a cache cannot say about itself. */
export interface PastOptions {
  /** [batch, length]: 0 where a sequence was padded, as in the host's `attention_mask`. Default: no padding. Positions count the tokens. */
  readonly attentionMask?: { readonly dims: ReadonlyArray<number>; readonly data: ArrayLike<number | bigint> };
  /** Query heads per layer; default as many as are cached. */
  readonly queryHeads?: number;
  /** Queries of each sequence, for policies that score by attention. */
  readonly observations?: ReadonlyArray<Observations>;
}

/** A smaller cache for the same host. Rows lie at the end of the length axis, as the newest tokens do; what is left of them is padding. */
export interface PrunedPast {
  /** The pairs as [batch, kvHeads, kept, dim], where `kept` is the most rows of any head; every other tensor unchanged. */
  readonly tensors: PastKeyValues;
  /** Per layer, by its number: 1 for a row, 0 for padding, u8 [batch, kvHeads, kept]. */
  readonly headMasks: Readonly<Record<string, { readonly dims: ReadonlyArray<number>; readonly data: Uint8Array }>>;
  /** Length of every pair. */
  readonly kept: number;
  /** Per sequence, layer and KV head the true positions of its rows, ascending: keys are rotated to these. */
  readonly positions: ReadonlyArray<ReadonlyArray<ReadonlyArray<Uint32Array>>>;
  /** Per sequence the position that the next token gets: tokens seen, evicted or not. */
  readonly nextPositions: ReadonlyArray<number>;
}

/** Prunes every sequence of a host's cache by itself. f32 stays f32 and f16 stays f16, bit for bit. Left for pairs whose shapes do not
 * fit each other, and for what {@link compress} refuses; nothing stays allocated.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openMemory, openReference, orThrow, prunePast } from "../mod.ts";
 * import { streamingLlm } from "../papers/mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const numbers = { dims: [1, 1, 4, 2], data: Float32Array.of(0, 0, 1, 1, 2, 2, 3, 3) };
 * const past = { "past_key_values.0.key": numbers, "past_key_values.0.value": numbers };
 * const small = await orThrow(prunePast(memory, streamingLlm({ rows: 2, sinks: 1 }))(past));
 * assertEquals([...small.tensors["past_key_values.0.key"]?.data ?? []], [0, 0, 3, 3]);
 * assertEquals(small.nextPositions, [4]); // not 2: the next token is still the fifth
 * ```
 */
export const prunePast =
  (memory: Memory, policy: Policy): (past: PastKeyValues, options?: PastOptions) => TaskEither<KvError, PrunedPast> =>
  (past, options = {}) =>
  async () => {
    const split = splitSequences(past, options);
    if (E.isLeft(split)) return split;
    const pruned: ReadRows[] = [];
    for (const b of split.right.sequences.keys()) {
      const rows = await pruneSequence(memory, policy, split.right, b, options.observations?.[b])();
      if (E.isLeft(rows)) return rows;
      pruned.push(rows.right);
    }
    return E.right(packSequences(past, split.right, pruned));
  };

const pruneSequence = (
  memory: Memory,
  policy: Policy,
  { sequences, half }: PastSequences,
  b: number,
  seen: Observations | undefined,
): TaskEither<KvError, ReadRows> =>
async () => {
  const codec: Codec = { _tag: "Plain", dtype: half ? "f16" : "f32" };
  const full = sequences[b] === undefined ? missing(b) : fromDense(memory, { codec })(sequences[b])();
  if (E.isLeft(full)) return full;
  using _full = scoped(memory)(full.right);
  const small = await compress(memory, policy)(full.right, seen)();
  if (E.isLeft(small)) return small;
  using _small = scoped(memory)(small.right);
  return await read(memory)(small.right)();
};

const missing = (b: number): E.Either<KvError, never> =>
  E.left({ _tag: "ShapeMismatch", at: "past_key_values", expected: `a sequence ${b}`, actual: "none" });

/** What a host is told with `count` new tokens per sequence, by the names of its inputs. */
export interface StepInputs {
  /** i64 [batch, kept + count]: 0 for padding only. */
  readonly attention_mask: { readonly dims: ReadonlyArray<number>; readonly data: BigInt64Array };
  /** i64 [batch, count]: must be given, since a host that counts its mask would start again at the rows that are left. */
  readonly position_ids: { readonly dims: ReadonlyArray<number>; readonly data: BigInt64Array };
}

/** Mask and positions for the next `count` tokens of each sequence. Left where the heads of one sequence keep different numbers of rows: a
 * mask [batch, length] cannot say that. Take a policy with the same rows for each head, or a host that takes a mask per head.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * const one = [[[Uint32Array.of(0, 8, 9)]], [[Uint32Array.of(3)]]]; // two sequences of 3 rows and of 1
 * const next = stepInputs({ tensors: {}, headMasks: {}, kept: 3, positions: one, nextPositions: [10, 4] }, 1);
 * assertEquals(E.isRight(next) && [...next.right.attention_mask.data], [1n, 1n, 1n, 1n, 0n, 0n, 1n, 1n]);
 * assertEquals(E.isRight(next) && [...next.right.position_ids.data], [10n, 4n]);
 * ```
 */
export function stepInputs({ kept, positions, nextPositions }: PrunedPast, count: number): E.Either<KvError, StepInputs> {
  if (!Number.isSafeInteger(count) || count < 1) {
    return E.left({ _tag: "InvalidArgument", argument: "count", value: String(count), allowed: "a whole number of tokens from 1" });
  }
  const rows = positions.map((layers) => layers.flat().map((head) => head.length));
  const ragged = rows.findIndex((heads) => heads.some((n) => n !== heads[0]));
  if (ragged >= 0) {
    const heads = rows[ragged] ?? [];
    return E.left({
      _tag: "InvalidArgument",
      argument: `sequence ${ragged}`,
      value: `heads of ${Math.min(...heads)} to ${Math.max(...heads)} rows`,
      allowed: "the same rows for every head where one mask [batch, length] serves all; headMasks say what each head keeps",
    });
  }
  const [batch, width] = [rows.length, kept + count];
  const mask = BigInt64Array.from(
    { length: batch * width },
    (_, i) => i % width < kept - (rows[Math.floor(i / width)]?.[0] ?? 0) ? 0n : 1n,
  );
  const ids = BigInt64Array.from({ length: batch * count }, (_, i) => BigInt((nextPositions[Math.floor(i / count)] ?? 0) + i % count));
  return E.right({ attention_mask: { dims: [batch, width], data: mask }, position_ids: { dims: [batch, count], data: ids } });
}
