/**
 * One group of layers under KVTC: its tokens to coefficients and back.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { type BitPlan, type CoefficientGroup, reachOf } from "../cache/bit_plan.ts";
import { coefficientBytes, decodeCoefficients, encodeCoefficients } from "../cache/coefficients.ts";
import type { KvError } from "../cache/error.ts";
import type { ModelShape } from "../cache/shape.ts";
import type { CacheTable } from "../run/cache_table.ts";
import { ropeTable } from "./rope.ts";
import type { Stream, Transform } from "./transform.ts";
import { type Product, TILE, turned, withProduct } from "./transform_products.ts";
import { type Angles, gather, type HeadPlace, scatter } from "./transform_rows.ts";
import { type Coding, inside, isCoded, keyBytes, type Split, valueBytes } from "./transform_split.ts";

/** A cache in the making or in the reading. */
export interface Work {
  readonly backend: Backend;
  readonly shape: Pick<ModelShape, "layers">;
  readonly coding: Coding;
  readonly table: CacheTable;
  readonly split: ReadonlyArray<Split>;
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

/** What a group of layers codes: its heads, its tokens, and the token of each position. */
function tokensOf({ coding, shape, table, split }: Work, { from, to }: Layers, stream: Stream) {
  const coded = inside(coding, table);
  const tokenOf = new Int32Array(table.nextPosition).fill(-1);
  const heads: HeadPlace[] = [];
  let offset = 0;
  for (let l = from; l < to; l++) {
    const own = shape.layers[l];
    if (own === undefined) continue;
    const dim = stream === "keys" ? own.keyDim : own.valueDim;
    for (const { tier, positions } of split.filter(({ tier }) => tier.layer === l && isCoded(tier))) {
      const width = stream === "keys" ? keyBytes(tier) : valueBytes(tier);
      const dtype = tier.table[stream] === "f32" ? "f32" : "f16";
      const rows = tier.parts[stream === "keys" ? 1 : 2] ?? new Uint8Array();
      let at = 0;
      tier.table.lengths.forEach((length, h) => {
        const own = positions.subarray(at, at + length);
        heads.push({
          shape: tier.shape,
          dtype,
          positions: own,
          offset: offset + h * dim,
          rows: rows.subarray(at * width, (at + length) * width),
        });
        for (const p of own) if (coded(p)) tokenOf[p] = 0;
        at += length;
      });
    }
    offset += own.kvHeads * dim;
  }
  let tokens = 0;
  for (let p = 0; p < tokenOf.length; p++) if (tokenOf[p] === 0) tokenOf[p] = tokens++;
  return { heads, tokens, tokenOf };
}

/** Rotations up to the last position, one table for each kind. */
export function anglesFor({ nextPosition }: CacheTable): Angles {
  const tables = new Map<string, Float32Array>();
  return ({ rope }) => {
    const key = JSON.stringify(rope);
    const known = tables.get(key) ?? ropeTable(rope, 0, nextPosition);
    tables.set(key, known);
    return known;
  };
}

/** The first components of a transform, those that a plan reaches. */
const componentsOf = ({ basis, width }: Transform, groups: ReadonlyArray<CoefficientGroup>): Uint16Array =>
  basis.subarray(0, reachOf(groups) * width);

/** Every token that a group of layers codes: f32 [tokens, width]. */
export function gatherTokens(work: Work, layers: Layers, stream: Stream): { readonly x: Float32Array; readonly tokens: number } {
  const { heads, tokens, tokenOf } = tokensOf(work, layers, stream);
  const { width } = layers;
  const x = new Float32Array(tokens * width);
  for (const head of heads) {
    gather(x, head, stream, { first: 0, tokens, width, mean: new Float32Array(width), tokenOf, angles: work.angles });
  }
  return { x, tokens };
}

/** Planes of the coefficients of all tokens. */
export const encodeGroup = (work: Work, planned: Planned): TaskEither<KvError, Uint8Array<ArrayBuffer>> => {
  const { transform, stream, plan: { groups } } = planned;
  const [reach, { width, mean }] = [reachOf(groups), transform];
  const { heads, tokens, tokenOf } = tokensOf(work, transform, stream);
  if (reach === 0 || tokens === 0) return () => Promise.resolve(E.right(new Uint8Array()));
  return withProduct(work.backend, componentsOf(transform, groups), reach, width, (product) => async () => {
    const coefficients = new Float32Array(tokens * reach);
    const x = new Float32Array(TILE * width);
    for (let first = 0; first < tokens; first += TILE) {
      const count = Math.min(TILE, tokens - first);
      x.fill(0);
      for (const head of heads) gather(x, head, stream, { first, tokens: count, width, mean, tokenOf, angles: work.angles });
      const part = await product(x)();
      if (E.isLeft(part)) return part;
      coefficients.set(part.right.subarray(0, count * reach), first * reach);
    }
    return E.right(encodeCoefficients(groups, coefficients, reach));
  });
};

/** Fills in the rows of a group of layers from its planes, which `next` gives when it is told their size. */
export const decodeGroup = (
  work: Work,
  planned: Planned,
  next: (size: number) => Promise<E.Either<KvError, Uint8Array<ArrayBuffer>>>,
): TaskEither<KvError, void> =>
async () => {
  const { transform, stream, plan: { groups } } = planned;
  const [reach, { width, mean }] = [reachOf(groups), transform];
  const { heads, tokens, tokenOf } = tokensOf(work, transform, stream);
  const planes = await next(coefficientBytes(groups, tokens));
  if (E.isLeft(planes)) return planes;
  if (tokens === 0) return E.right(undefined);
  const coefficients = decodeCoefficients(groups, planes.right, tokens);
  const fill = (product: Product): TaskEither<KvError, void> => async () => {
    const d = new Float32Array(TILE * reach);
    for (let first = 0; first < tokens; first += TILE) {
      const count = Math.min(TILE, tokens - first);
      d.fill(0);
      d.set(coefficients.subarray(first * reach, (first + count) * reach));
      const x = await product(d)();
      if (E.isLeft(x)) return x;
      for (const head of heads) scatter(x.right, head, stream, { first, tokens: count, width, mean, tokenOf, angles: work.angles });
    }
    return E.right(undefined);
  };
  // Without any component every token is the mean.
  if (reach === 0) return await fill(() => () => Promise.resolve(E.right(new Float32Array(TILE * width))))();
  return await withProduct(work.backend, turned(componentsOf(transform, groups), reach, width), width, reach, fill)();
};
