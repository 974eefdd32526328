/**
 * What a tile brings to a program and takes from it: rows, their order, angles.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { bytesIn } from "../run/scratch.ts";
import { bytesPerRow, type HeadRows, type LayerRows, type Run, type Tile } from "./transform_rows.ts";
import type { Stage } from "./transform_stage.ts";
import { roomOf, type Staged, turnsOf } from "./transform_tiles.ts";

/** Does one thing after the other until one fails. */
const each = <A>(items: ReadonlyArray<A>, act: (item: A, i: number) => E.Either<KvError, void>): E.Either<KvError, void> => {
  for (const [i, item] of items.entries()) {
    const done = act(item, i);
    if (E.isLeft(done)) return done;
  }
  return E.right(undefined);
};

/** Visits the rows of a run: the first of them is row `at` of its layer, and `place` is where it belongs among those of all tokens of the
 * tile, [tokens, kvHeads]. */
function eachRow(
  { shape: { kvHeads } }: LayerRows,
  { head, tokens }: HeadRows,
  { from, to }: Run,
  { first }: Tile,
  at: number,
  act: (place: number, row: number) => void,
): void {
  for (let row = from; row < to; row++) act(((tokens[row] ?? 0) - first) * kvHeads + head, at + row - from);
}

/** Visits the runs of a layer that have rows; `at` is how many rows are before it. */
function visit(
  layer: LayerRows,
  runs: ReadonlyArray<Run>,
  act: (run: Run, head: HeadRows, at: number) => E.Either<KvError, void>,
): E.Either<KvError, number> {
  let at = 0;
  for (const run of runs) {
    const head = layer.heads[run.heads];
    if (head === undefined || run.to === run.from) continue;
    const done = act(run, head, at);
    if (E.isLeft(done)) return done;
    at += run.to - run.from;
  }
  return E.right(at);
}

/** Rows of a head in the type of their layer. */
function asLayer({ dtype, dim }: LayerRows, head: HeadRows, { from, to }: Run): Uint8Array {
  const own = bytesPerRow({ dtype: head.dtype, dim });
  const rows = head.rows.subarray(from * own, to * own);
  return dtype === head.dtype ? rows : bytesIn(new Float32Array(new Float16Array(Uint8Array.from(rows).buffer)));
}

/** The reverse, into their places. */
function fromLayer({ dtype, dim }: LayerRows, head: HeadRows, { from }: Run, rows: Uint8Array): void {
  const own = dtype === head.dtype ? rows : new Uint8Array(new Float16Array(new Float32Array(Uint8Array.from(rows).buffer)).buffer);
  head.rows.set(own, from * bytesPerRow({ dtype: head.dtype, dim }));
}

/** Brings stored rows to a program that gathers them. A head without a token reads zeros. */
export const loadRows = (staged: Staged, stage: Stage, tile: Tile): E.Either<KvError, void> =>
  each(staged.rows.layers, (layer, l) => {
    const keep = new Uint32Array(roomOf(layer) + 1).fill(roomOf(layer));
    const loaded = visit(layer, tile.runs[l] ?? [], (run, head, at) => {
      eachRow(layer, head, run, tile, at, (place, row) => keep[place] = row);
      return stage.write(`stored.${l}`, at * bytesPerRow(layer), asLayer(layer, head, run));
    });
    return E.isLeft(loaded) ? loaded : loadOrder(staged, stage, tile, l, keep);
  });

/** Tells a program that stores rows which they are. */
export const wantRows = (staged: Staged, stage: Stage, tile: Tile): E.Either<KvError, void> =>
  each(staged.rows.layers, (layer, l) => {
    const keep = new Uint32Array(roomOf(layer) + 1);
    const count = visit(layer, tile.runs[l] ?? [], (run, head, at) => {
      eachRow(layer, head, run, tile, at, (place, row) => keep[row] = place);
      return E.right(undefined);
    });
    if (E.isLeft(count)) return count;
    const counted = stage.write(`counts.${l}`, 0, bytesIn(Uint32Array.of(count.right)));
    return E.isLeft(counted) ? counted : loadOrder(staged, stage, tile, l, keep);
  });

/** Order of rows, and angles where this layer is the first that turns so. */
function loadOrder(staged: Staged, stage: Stage, tile: Tile, l: number, keep: Uint32Array): E.Either<KvError, void> {
  const layer = staged.rows.layers[l];
  const ordered = stage.write(`keep.${l}`, 0, bytesIn(keep));
  if (E.isLeft(ordered) || layer === undefined || turnsOf(staged, layer) !== `turns.${l}`) return ordered;
  const { dims } = layer.shape.rope;
  const table = staged.angles(layer.shape);
  const positions = staged.rows.positions.subarray(tile.first, tile.first + tile.count);
  const angles = new Float32Array(tile.count * dims);
  positions.forEach((p, t) => angles.set(table.subarray(p * dims, (p + 1) * dims), t * dims));
  return stage.write(`turns.${l}`, 0, bytesIn(angles));
}

/** Takes the rows that a program has stored to their places. */
export async function storeRows({ rows: { layers } }: Staged, stage: Stage, tile: Tile): Promise<E.Either<KvError, void>> {
  for (const [l, layer] of layers.entries()) {
    const runs = tile.runs[l] ?? [];
    const width = bytesPerRow(layer);
    const bytes = await stage.read(`stored.${l}`, runs.reduce((sum, { from, to }) => sum + to - from, 0) * width);
    if (E.isLeft(bytes)) return bytes;
    const stored = visit(layer, runs, (run, head, at) => {
      fromLayer(layer, head, run, bytes.right.subarray(at * width, (at + run.to - run.from) * width));
      return E.right(undefined);
    });
    if (E.isLeft(stored)) return stored;
  }
  return E.right(undefined);
}
