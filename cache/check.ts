/**
 * The invariants of a cache value that its plain data can show.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { rowBytes } from "./codec.ts";
import type { KvError } from "./error.ts";
import type { KvCache, LayerCache, Segment, Tier } from "./types.ts";
import { ownLayers, slotsOf, tierBuffers } from "./view.ts";

/** Right with the same value if it is well formed: segments do not overlap and hold at most their capacity, buffers have
 * room for all slots, layouts do not overlap, only the last tier of a layer takes rows, and shared layers read an owner of
 * the same geometry. */
export function checkCache(cache: KvCache): E.Either<KvError, KvCache> {
  const faults = [
    ...cache.layers.flatMap((layer, l) => layer._tag === "Own" ? ownFaults(layer, `layer ${l}`) : aliasFaults(cache, layer, l)),
    ...layoutFaults(cache),
    ...Number.isSafeInteger(cache.nextPosition) && cache.nextPosition >= 0
      ? []
      : [fault("nextPosition", "a whole number from 0", cache.nextPosition)],
  ];
  const first = faults[0];
  return first === undefined ? E.right(cache) : E.left(first);
}

function ownFaults(layer: Extract<LayerCache, { readonly _tag: "Own" }>, at: string): ReadonlyArray<KvError> {
  const { shape, tiers } = layer;
  return tiers.flatMap((tier, i) => {
    const where = `${at} tier ${i}`;
    const slots = slotsOf(tier.segments);
    const widths = [rowBytes(tier.keyCodec, shape.keyDim), rowBytes(tier.valueCodec, shape.valueDim)];
    const small = tierBuffers(tier).filter((b, n) => b.bytes < slots * (widths[n] ?? 4));
    return [
      ...tier.segments.length === shape.kvHeads ? [] : [fault(where, `${shape.kvHeads} segments`, tier.segments.length)],
      ...segmentFaults(tier.segments, where),
      ...small.map((b) => fault(`${where} ${b.label}`, `room for ${slots} slots`, `${b.bytes} bytes`)),
      ...(i === tiers.length - 2 || tier.frozen === (i < tiers.length - 1))
        ? []
        : [fault(where, "only the last tier and the store before it take rows", tier.frozen ? "a frozen tail" : "an open tier")],
    ];
  });
}

function segmentFaults(segments: ReadonlyArray<Segment>, at: string): ReadonlyArray<KvError> {
  const whole = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
  return segments.flatMap((s, h) => {
    const previous = segments[h - 1];
    return [
      ...whole(s.start) && whole(s.length) && whole(s.capacity) && s.length <= s.capacity
        ? []
        : [fault(`${at} head ${h}`, "0 <= length <= capacity", `length ${s.length}, capacity ${s.capacity}`)],
      ...previous === undefined || previous.start + previous.capacity <= s.start
        ? []
        : [fault(`${at} head ${h}`, "segments apart", `start ${s.start}`)],
    ];
  });
}

function aliasFaults(cache: KvCache, { layer, shape }: Extract<LayerCache, { readonly _tag: "Alias" }>, l: number): ReadonlyArray<KvError> {
  const owner = cache.layers[layer];
  const fits = owner !== undefined && owner._tag === "Own" && layer < l && owner.shape.kvHeads === shape.kvHeads &&
    owner.shape.keyDim === shape.keyDim && owner.shape.valueDim === shape.valueDim;
  return fits ? [] : [fault(`layer ${l}`, "an earlier layer with rows of the same geometry", `layer ${layer}`)];
}

function layoutFaults(cache: KvCache): ReadonlyArray<KvError> {
  const tiers: ReadonlyArray<Tier> = ownLayers(cache).flatMap(({ own }) => own.tiers);
  const spans = tiers.map((t) => ({ from: t.layoutOffset, to: t.layoutOffset + 12 * t.segments.length })).sort((a, b) => a.from - b.from);
  const bad = spans.find((s, i) => s.to > cache.layout.bytes || (spans[i + 1]?.from ?? Infinity) < s.to);
  return bad === undefined ? [] : [fault("layouts", `apart within ${cache.layout.bytes} bytes`, `bytes ${bad.from} to ${bad.to}`)];
}

const fault = (at: string, expected: string, actual: string | number): KvError => ({
  _tag: "ShapeMismatch",
  at: `cache value, ${at}`,
  expected,
  actual: String(actual),
});
