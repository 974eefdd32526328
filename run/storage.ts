/**
 * Allocating what a cache value holds. Sizes are rounded up here to what the backend would round them to, so that
 * `Buffer.bytes` is what is really held and `bytesOf` is exact.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import { rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Buffer, Codec, PageForm, RecentQueries, Segment, Tier, TierStorage } from "../cache/types.ts";
import { layoutBytes, pageBytes, slotsOf } from "../cache/view.ts";
import type { LayerPlan } from "../plan/types.ts";
import type { Memory } from "./memory.ts";

/** How a tier's rows are stored, without its memory. */
export interface TierForm {
  readonly shape: LayerShape;
  readonly keyCodec: Codec;
  readonly valueCodec: Codec;
  readonly columns: ReadonlyArray<string>;
  /** The bounds or centroids that are held, or null for neither. */
  readonly pages: PageForm | null;
}

/** The form of the store that a layer's plan has, or null. */
export const storeForm = ({ store, columns }: LayerPlan): Pick<TierForm, "keyCodec" | "valueCodec" | "columns"> | null =>
  store === null ? null : { ...store, columns: store.judged ? columns.map(({ name }) => name) : [] };

/** The form of a tier that exists. */
export const formOf = (shape: LayerShape, tier: Tier): TierForm => ({
  shape,
  keyCodec: tier.keyCodec,
  valueCodec: tier.valueCodec,
  columns: Object.keys(tier.storage.columns),
  pages: tier.storage.pages,
});

/** `bytes` rounded up to what the backend allocates. */
export const roundBytes = (memory: Memory, bytes: number): number => {
  const { alignment } = memory.backend.caps;
  return Math.ceil(bytes / alignment) * alignment;
};

/** Allocates all or nothing: on Left whatever was allocated is freed again. */
export const allocAll =
  (memory: Memory, wanted: ReadonlyArray<{ readonly bytes: number; readonly label: string }>): IOEither<KvError, ReadonlyArray<Buffer>> =>
  () => {
    const got: Buffer[] = [];
    for (const { bytes, label } of wanted) {
      const one = memory.backend.alloc(roundBytes(memory, bytes), label)();
      if (E.isLeft(one)) {
        freeAll(memory, got)();
        return one;
      }
      got.push(one.right);
    }
    return E.right(got);
  };

/** Frees buffers no cache value holds yet; the first failure is reported, all are tried. */
export const freeAll = (memory: Memory, buffers: ReadonlyArray<Buffer>): IOEither<KvError, void> => () => {
  const results = buffers.map((b) => memory.backend.free(b)());
  return results.find(E.isLeft) ?? E.right(undefined);
};

/** Empty segments, one after the other, with these capacities (rows per head). */
export function segmentsOf(capacities: ReadonlyArray<number>, lengths: ReadonlyArray<number> = []): ReadonlyArray<Segment> {
  let start = 0;
  return capacities.map((capacity, head) => {
    const segment: Segment = { start, length: lengths[head] ?? 0, capacity };
    start += capacity;
    return segment;
  });
}

/** Memory for the rows of one tier. */
export const allocTier =
  (memory: Memory, form: TierForm, segments: ReadonlyArray<Segment>, layoutOffset: number, label: string): IOEither<KvError, Tier> =>
  () => {
    const slots = slotsOf(segments);
    const wanted = [
      { bytes: slots * rowBytes(form.keyCodec, form.shape.keyDim), label: `${label}.keys` },
      { bytes: slots * rowBytes(form.valueCodec, form.shape.valueDim), label: `${label}.values` },
      { bytes: slots * 4, label: `${label}.position` },
      ...form.columns.map((name) => ({ bytes: slots * 4, label: `${label}.column.${name}` })),
      ...(form.pages === null
        ? []
        : [{ bytes: slots * pageBytes(form.keyCodec, form.shape.keyDim, form.pages.rows), label: `${label}.bounds` }]),
    ];
    const got = allocAll(memory, wanted)();
    if (E.isLeft(got)) return got;
    const [keys, values, position, ...columns] = got.right;
    const bounds = columns[form.columns.length];
    if (keys === undefined || values === undefined || position === undefined) return mismatch(wanted.length, got.right.length);
    const storage: TierStorage = {
      keys,
      values,
      position,
      columns: Object.fromEntries(columns.flatMap((buffer, i) => form.columns[i] === undefined ? [] : [[form.columns[i], buffer]])),
      pages: form.pages === null || bounds === undefined ? null : { ...form.pages, bounds },
    };
    const { keyCodec, valueCodec } = form;
    return E.right({ keyCodec, valueCodec, storage, segments, layoutOffset, exact: true, frozen: false });
  };

/** A store without rows or room. Columns pass on where rows are still judged there. */
export const emptyStore = (
  memory: Memory,
  shape: LayerShape,
  { keyCodec, valueCodec, columns }: Pick<TierForm, "keyCodec" | "valueCodec" | "columns">,
  layoutOffset: number,
  label: string,
): IOEither<KvError, Tier> =>
  allocTier(
    memory,
    { shape, keyCodec, valueCodec, columns, pages: null },
    segmentsOf(Array.from({ length: shape.kvHeads }, () => 0)),
    layoutOffset,
    label,
  );

/** Memory for a ring of `window` queries, all unfilled; null for window 0. */
export const allocRecent =
  (memory: Memory, shape: LayerShape, window: number, label: string): IOEither<KvError, RecentQueries | null> => () => {
    if (window === 0) return E.right(null);
    const wanted = [
      { bytes: window * shape.queryHeads * shape.keyDim * 4, label: `${label}.recent.queries` },
      { bytes: window * shape.queryHeads * 4, label: `${label}.recent.lse` },
      { bytes: window * 4, label: `${label}.recent.position` },
    ];
    const got = allocAll(memory, wanted)();
    if (E.isLeft(got)) return got;
    const [queries, lse, position] = got.right;
    if (queries === undefined || lse === undefined || position === undefined) return mismatch(wanted.length, got.right.length);
    const unfilled = memory.backend.write(position, 0, new Uint8Array(window * 4).fill(0xff))();
    if (E.isLeft(unfilled)) {
      freeAll(memory, got.right)();
      return unfilled;
    }
    return E.right({ window, queries, lse, position });
  };

/** One buffer for the layouts of tiers with these head counts, and where each lies in it. */
export const allocLayouts = (
  memory: Memory,
  heads: ReadonlyArray<number>,
): IOEither<KvError, { readonly layout: Buffer; readonly offsets: ReadonlyArray<number> }> =>
() => {
  let end = 0;
  const offsets = heads.map((h) => {
    const at = end;
    end += roundBytes(memory, layoutBytes(h));
    return at;
  });
  const got = memory.backend.alloc(end, "layouts")();
  return E.isLeft(got) ? got : E.right({ layout: got.right, offsets });
};

function mismatch(expected: number, actual: number): E.Either<KvError, never> {
  return E.left({ _tag: "ShapeMismatch", at: "allocating a tier", expected: `${expected} buffers`, actual: String(actual) });
}
