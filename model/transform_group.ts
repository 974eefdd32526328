/**
 * One group of layers under KVTC: its tokens to coefficients and back.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { BitPlan } from "../cache/bit_plan.ts";
import { coefficientBytes, decodeTokens, encodeTokens } from "../cache/coefficients.ts";
import type { KvError } from "../cache/error.ts";
import { ropeTable } from "../cache/rope.ts";
import type { CacheTable } from "../run/cache_table.ts";
import type { Memory } from "../run/memory.ts";
import { bytesIn } from "../run/scratch.ts";
import type { Stream, Transform } from "./transform.ts";
import { type Components, componentsOf, meanIn } from "./transform_components.ts";
import { loadRows, storeRows, wantRows } from "./transform_moves.ts";
import { type GroupRows, type Rows, rowsOfGroup, TILE, type Tile, tilesOf } from "./transform_rows.ts";
import { type Stage, withStage } from "./transform_stage.ts";
import { type Angles, decoding, encoding, gathering, type Staged } from "./transform_tiles.ts";

/** A cache in the making or in the reading. */
export interface Work extends Rows {
  readonly memory: Memory;
  readonly angles: Angles;
}

/** A transform with the bits of its components. */
export interface Planned {
  readonly transform: Transform;
  readonly stream: Stream;
  readonly plan: BitPlan;
}

/** A group of layers. */
type Layers = Pick<Transform, "from" | "to" | "width">;

/** Rotations up to the last position, one table for each kind, forth (1) or back (-1). */
export function anglesFor({ nextPosition }: CacheTable, way: 1 | -1): Angles {
  const tables = new Map<string, Float32Array>();
  return ({ rope }) => {
    const key = JSON.stringify(rope);
    const known = tables.get(key) ?? ropeTable(rope, 0, nextPosition);
    if (way < 0 && !tables.has(key)) negateSines(known, rope.dims);
    tables.set(key, known);
    return known;
  };
}

function negateSines(table: Float32Array, dims: number): void {
  for (let at = dims / 2; at < table.length; at += dims) for (let i = at; i < at + dims / 2; i++) table[i] = -(table[i] ?? 0);
}

const stagedOf = (work: Work, layers: Layers, stream: Stream): Staged => ({
  rows: rowsOfGroup(work, layers, stream),
  stream,
  angles: work.angles,
});

/** Every tile in turn. */
const overTiles = (rows: GroupRows, act: (tile: Tile) => Promise<E.Either<KvError, void>>): TaskEither<KvError, void> => async () => {
  for (const tile of tilesOf(rows)) {
    const done = await act(tile);
    if (E.isLeft(done)) return done;
  }
  return E.right(undefined);
};

/** Every token that a group of layers codes: f32 [tokens, width], zeros where a head does not hold it. */
export const gatherTokens = (
  work: Work,
  layers: Layers,
  stream: Stream,
): TaskEither<KvError, { readonly x: Float32Array; readonly tokens: number }> => {
  const staged = stagedOf(work, layers, stream);
  const tokens = staged.rows.positions.length;
  const x = new Float32Array(tokens * layers.width);
  const gathered = withStage(work.memory, gathering(staged), (stage) =>
    overTiles(staged.rows, async (tile) => {
      const ran = E.chain(stage.run)(loadRows(staged, stage, tile));
      if (E.isLeft(ran)) return ran;
      for (const [l, { from, to }] of staged.rows.layers.entries()) {
        const numbers = await readNumbers(stage, `numbers.${l}`, tile.count * (to - from));
        if (E.isLeft(numbers)) return numbers;
        for (let t = 0; t < tile.count; t++) {
          x.set(numbers.right.subarray(t * (to - from), (t + 1) * (to - from)), (tile.first + t) * layers.width + from);
        }
      }
      return E.right(undefined);
    }));
  return TE.map(() => ({ x, tokens }))(gathered);
};

const readNumbers = async (stage: Stage, name: string, count: number): Promise<E.Either<KvError, Float32Array>> =>
  E.map((bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, count))(await stage.read(name, count * 4));

/** Planes of the coefficients of all tokens. */
export const encodeGroup = (work: Work, { transform, stream, plan }: Planned): TaskEither<KvError, Uint8Array<ArrayBuffer>> => {
  const staged = stagedOf(work, transform, stream);
  const tokens = staged.rows.positions.length;
  const planes = new Uint8Array(coefficientBytes(plan.groups, tokens));
  if (planes.length === 0) return TE.right(planes);
  const components = componentsOf(transform, plan);
  const { reach } = components;
  const coded = withStage(work.memory, encoding(staged, components), (stage) =>
    overTiles(staged.rows, async (tile) => {
      const ran = E.chain(stage.run)(loadRows(staged, stage, tile));
      if (E.isLeft(ran)) return ran;
      const d = await readNumbers(stage, "coefficients", tile.count * reach);
      if (E.isLeft(d)) return d;
      addAbsent(staged.rows, tile, components, d.right);
      encodeTokens(plan.groups, { bytes: planes, tokens }, tile.first, d.right, reach);
      return E.right(undefined);
    }));
  return TE.map(() => planes)(coded);
};

/** A head without a token counts as its mean, of which the product has taken off the coefficients. */
function addAbsent({ layers }: GroupRows, { first, count, runs }: Tile, components: Components, d: Float32Array): void {
  const { reach } = components;
  for (const [l, { shape: { kvHeads }, heads, dim, from }] of layers.entries()) {
    const own = runs[l] ?? [];
    if (own.reduce((sum, run) => sum + run.to - run.from, 0) === count * kvHeads) continue;
    const held = new Uint8Array(count * kvHeads);
    for (const run of own) {
      const { tokens, head } = heads[run.heads] ?? { tokens: new Int32Array(), head: 0 };
      for (let row = run.from; row < run.to; row++) held[((tokens[row] ?? 0) - first) * kvHeads + head] = 1;
    }
    const means = Array.from({ length: kvHeads }, (_, h) => meanIn(components, { from: from + h * dim, to: from + (h + 1) * dim }));
    held.forEach((is, place) => {
      const to = Math.floor(place / kvHeads) * reach;
      if (is === 0) means[place % kvHeads]?.forEach((x, j) => d[to + j] = (d[to + j] ?? 0) + x);
    });
  }
}

/** Fills in the rows of a group of layers from its planes, which `next` gives when it is told their size. */
export const decodeGroup = (
  work: Work,
  { transform, stream, plan }: Planned,
  next: (size: number) => Promise<E.Either<KvError, Uint8Array<ArrayBuffer>>>,
): TaskEither<KvError, void> => {
  const staged = stagedOf(work, transform, stream);
  const tokens = staged.rows.positions.length;
  return pipe(
    () => next(coefficientBytes(plan.groups, tokens)),
    TE.chain((planes) => {
      if (tokens === 0) return TE.right(undefined);
      const components = componentsOf(transform, plan);
      const d = new Float32Array(TILE * components.padded);
      return withStage(work.memory, decoding(staged, components), (stage) =>
        overTiles(staged.rows, async (tile) => {
          decodeTokens(plan.groups, { bytes: planes, tokens }, tile.first, tile.count, d, components.padded);
          const ran = pipe(
            stage.write("coefficients", 0, bytesIn(d)),
            E.chain(() => wantRows(staged, stage, tile)),
            E.chain(stage.run),
          );
          return E.isLeft(ran) ? ran : await storeRows(staged, stage, tile);
        }));
    }),
  );
};
