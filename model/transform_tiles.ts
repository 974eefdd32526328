/**
 * Tiles of tokens on a backend: stored rows to numbers without their rotation, on to coefficients, and back.
 * @module
 */
import { NONE } from "../backends/program.ts";
import type { LayerShape } from "../cache/shape.ts";
import { emit, emptyDraft, finish, weight } from "../plan/draft.ts";
import type { Draft } from "../plan/types.ts";
import { bytesIn, type Scratch } from "../run/scratch.ts";
import { slotsFor } from "../run/slots.ts";
import type { Stream } from "./transform.ts";
import { addend, componentColumns, componentRows, type Components, meanIn } from "./transform_components.ts";
import { bytesPerRow, type GroupRows, type LayerRows, TILE } from "./transform_rows.ts";
import type { StageParts } from "./transform_stage.ts";

/** Cosines and sines for positions from 0, f32 [positions, dims], the same array for layers that rotate alike; see `ropeTable`. Sines are
 * negative where keys turn back. */
export type Angles = (shape: Pick<LayerShape, "rope">) => Float32Array;

/** Rows and what they become. */
export interface Staged {
  readonly rows: GroupRows;
  readonly stream: Stream;
  readonly angles: Angles;
}

/** Most rows of a tile: those of all tokens in all heads. */
export const roomOf = ({ shape }: LayerRows): number => TILE * shape.kvHeads;

/** Binding of the angles of a layer, shared by all that rotate alike; null where nothing turns. */
export function turnsOf({ rows: { layers }, stream, angles }: Staged, { shape }: LayerRows): string | null {
  const own = angles(shape);
  return stream === "keys" && shape.rope.dims > 0 ? `turns.${layers.findIndex((layer) => angles(layer.shape) === own)}` : null;
}

/** What every program of a group binds: per layer stored rows, which of them are read in which order, and numbers. The row behind the last is
 * zeros, for tokens that a head does not hold. */
const layerBuffers = (staged: Staged, turned: "from" | "to") => (layer: LayerRows, l: number): ReadonlyArray<Scratch> => {
  const room = roomOf(layer);
  const source = turned === "from" ? room + 1 : room;
  return [
    { label: `stored.${l}`, content: (room + 1) * bytesPerRow(layer) },
    { label: `keep.${l}`, content: (room + 1) * 4 },
    { label: `counts.${l}`, content: bytesIn(Uint32Array.of(room)) },
    { label: `source.${l}`, content: bytesIn(Uint32Array.of(0, source, source)) },
    { label: `target.${l}`, content: bytesIn(Uint32Array.of(0, 0, room)) },
    { label: `numbers.${l}`, content: room * layer.dim * 4 },
    ...turnsOf(staged, layer) === `turns.${l}` ? [{ label: `turns.${l}`, content: TILE * layer.shape.rope.dims * 4 }] : [],
  ];
};

const rotated = (staged: Staged, layer: LayerRows, l: number) => (draft: Draft): Draft => {
  const turns = turnsOf(staged, layer);
  if (turns === null) return draft;
  const { kvHeads, rope: { dims } } = layer.shape;
  const [args, next] = slotsFor([`numbers.${l}`, turns])(draft);
  return emit({ op: "rope", args, params: { m: TILE, heads: kvHeads, dim: layer.dim, dims } })(next);
};

const moved = (layer: LayerRows, l: number, way: "from" | "to") => (draft: Draft): Draft => {
  const [source, target] = way === "from" ? ["stored", "numbers"] : ["numbers", "stored"];
  const [args, next] = slotsFor([source, "keep", "counts", "source", "target", target].map((name) => `${name}.${l}`))(draft);
  const [sourceCodec, targetCodec] = way === "from" ? [layer.dtype, "f32"] as const : ["f32", layer.dtype] as const;
  return emit({ op: "transfer", args, params: { heads: 1, dim: layer.dim, sourceCodec, targetCodec } })(next);
};

/** Stored rows to f32 [TILE, kvHeads, dim] of each layer in `numbers`, keys turned back to position 0. */
export const gathering = (staged: Staged): StageParts => ({
  program: finish("tokens")(
    staged.rows.layers.reduce((draft: Draft, layer, l) => rotated(staged, layer, l)(moved(layer, l, "from")(draft)), emptyDraft),
  ),
  weights: [],
  buffers: staged.rows.layers.flatMap(layerBuffers(staged, "from")),
});

/** The same, and on to coefficients less those of the mean: f32 [TILE, reach] in `coefficients`. */
export function encoding(staged: Staged, components: Components): StageParts {
  const { layers } = staged.rows;
  const { reach } = components;
  const { program, buffers } = gathering(staged);
  const product = (draft: Draft, layer: LayerRows, l: number): Draft => {
    const [[x = NONE, out = NONE], d1] = slotsFor([`numbers.${l}`, "coefficients"])(draft);
    const [w, d2] = weight(`components.${l}`)(d1);
    const [bias, d3] = l === 0 ? weight("mean")(d2) : [NONE, d2];
    const params = { m: TILE, n: reach, k: layer.to - layer.from, accumulate: l > 0 };
    return emit({ op: "matmul", args: [x, w, bias, out], params })(d3);
  };
  const means = layers.map((layer) => meanIn(components, layer));
  const less = Float32Array.from({ length: reach }, (_, j) => -means.reduce((sum, mean) => sum + (mean[j] ?? 0), 0));
  return {
    program: finish("coefficients")(layers.reduce(product, program)),
    weights: [...layers.map((layer, l) => componentRows(`components.${l}`, components, layer)), addend("mean", less)],
    buffers: [...buffers, { label: "coefficients", content: TILE * reach * 4 }],
  };
}

/** Coefficients f32 [TILE, padded] in `coefficients` to stored rows, keys rotated to their positions. */
export function decoding(staged: Staged, components: Components): StageParts {
  const { layers } = staged.rows;
  const { padded, mean } = components;
  const back = (draft: Draft, layer: LayerRows, l: number): Draft => {
    const [[x = NONE, out = NONE], d1] = slotsFor(["coefficients", `numbers.${l}`])(draft);
    const [w, d2] = weight(`components.${l}`)(d1);
    const [bias, d3] = weight(`mean.${l}`)(d2);
    const params = { m: TILE, n: layer.to - layer.from, k: padded, accumulate: false };
    const product = emit({ op: "matmul", args: [x, w, bias, out], params })(d3);
    return moved(layer, l, "to")(rotated(staged, layer, l)(product));
  };
  return {
    program: finish("rows")(layers.reduce(back, emptyDraft)),
    weights: layers.flatMap((layer, l) => [
      componentColumns(`components.${l}`, components, layer),
      addend(`mean.${l}`, mean.subarray(layer.from, layer.to)),
    ]),
    buffers: [...layers.flatMap(layerBuffers(staged, "to")), { label: "coefficients", content: TILE * padded * 4 }],
  };
}
