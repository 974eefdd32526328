/**
 * Moving rows between tiers on the backend: growth, shrinking, copy-on-write and flattening are all this one copy.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { IOEither } from "fp-ts/IOEither.js";
import * as S from "fp-ts/State.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Binding, Prepared } from "../backends/backend.ts";
import { NONE, type Program } from "../backends/program.ts";
import { codecName, rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { RecentQueries, Segment, Tier } from "../cache/types.ts";
import { layoutBytes, pageBytes } from "../cache/view.ts";
import { bound, emit, emptyDraft, finish } from "../plan/draft.ts";
import type { Draft } from "../plan/types.ts";
import { type Memory, program } from "./memory.ts";
import { roundBytes } from "./storage.ts";

/** Copies all rows of tiers of one geometry. */
export interface TierCopier {
  /** The rows of `sources`, one after the other per head, become the first rows of `target`, whose segments say the sum
   * of the lengths. Both must be exact. */
  readonly copy: (sources: ReadonlyArray<Tier>, target: Tier) => IOEither<KvError, void>;
}

/** Makes the copier for tiers of this form ready. Columns the source lacks are left as they are. */
export const tierCopier = (memory: Memory, shape: LayerShape, like: Tier): TE.TaskEither<KvError, TierCopier> => {
  const widths = [rowBytes(like.keyCodec, shape.keyDim), rowBytes(like.valueCodec, shape.valueDim), 4];
  const columns = Object.keys(like.storage.columns);
  const bytes = [...widths, ...columns.map(() => 4)];
  const { rows, labels } = like.storage.pages ?? { rows: 0, labels: null };
  return pipe(
    program(memory, `copy ${shape.kvHeads} x ${bytes.join(" ")}`, () => copyProgram(shape.kvHeads, bytes)),
    TE.chain((moving) =>
      rows === 0 ? TE.right([moving]) : pipe(
        program(memory, `pages ${shape.kvHeads} x ${rows} x ${shape.keyDim} ${codecName(like.keyCodec)} ${labels !== null}`, () =>
          labels === null ? pagesProgram(shape, like, rows) : centroidsProgram(shape, like, rows)),
        TE.map((bounding) => [moving, bounding]),
      )
    ),
    TE.map(([moving, bounding]) => ({
      copy: (sources, target) => () => {
        const moved = moving === undefined ? E.right(undefined) : copyTiers(memory, moving, columns, shape.kvHeads, sources, target)();
        return E.isLeft(moved) || bounding === undefined ? moved : boundPages(memory, bounding, target)();
      },
    })),
  );
};

/** Bounds of pages are made anew where their rows come to lie: rows of several tiers make other pages together. */
const pagesProgram = (shape: LayerShape, { keyCodec }: Tier, page: number): Program => {
  const [[keys = NONE, layout = NONE, bounds = NONE], named] = S.sequenceArray(["keys", "layout", "bounds"].map(bound))(emptyDraft);
  const { kvHeads: heads, keyDim: dim } = shape;
  const params = { heads, dim, codec: codecName(keyCodec), page, m: 0, rowBytes: pageBytes(keyCodec, dim, page) };
  return finish("bound pages")(emit({ op: "minmaxPages", args: [keys, layout, bounds], params })(named));
};

/** Centroids, likewise: their places depend on where their heads begin. */
const centroidsProgram = ({ kvHeads: heads, keyDim: dim }: LayerShape, { keyCodec }: Tier, stride: number): Program => {
  const [args, named] = S.sequenceArray(["keys", "labels", "layout", "bounds"].map(bound))(emptyDraft);
  const params = { heads, dim, codec: codecName(keyCodec), stride, rowBytes: pageBytes(keyCodec, dim, stride) };
  return finish("centroids")(emit({ op: "centroids", args, params })(named));
};

const boundPages = (memory: Memory, prepared: Prepared, { storage, segments }: Tier): IOEither<KvError, void> => () => {
  if (storage.pages === null) return E.right(undefined);
  const layout = memory.backend.alloc(roundBytes(memory, layoutBytes(segments.length)), "page layout")();
  if (E.isLeft(layout)) return layout;
  const wrote = memory.backend.write(layout.right, 0, encodeLayouts([segments], layoutBytes(segments.length)))();
  const labels = storage.pages.labels === null ? undefined : storage.columns[storage.pages.labels];
  const bindings = {
    keys: { buffer: storage.keys },
    layout: { buffer: layout.right },
    bounds: { buffer: storage.pages.bounds },
    ...(labels === undefined ? {} : { labels: { buffer: labels } }),
  };
  const ran = E.isLeft(wrote) ? wrote : memory.backend.run(prepared, bindings)();
  const freed = memory.backend.free(layout.right)();
  return E.isLeft(ran) ? ran : freed;
};

function copyProgram(heads: number, widths: ReadonlyArray<number>): Program {
  const one = (draft: Draft, rowBytes: number, i: number): Draft => {
    const [[source, from, to, target], next] = S.sequenceArray([`from.${i}`, "from.layout", "to.layout", `to.${i}`].map(bound))(draft);
    if (source === undefined || from === undefined || to === undefined || target === undefined) return draft;
    return emit({ op: "copyRows", args: [source, from, to, target], params: { heads, rowBytes } })(next);
  };
  return finish("copy rows")(widths.reduce(one, emptyDraft));
}

function copyTiers(
  memory: Memory,
  prepared: Prepared,
  columns: ReadonlyArray<string>,
  heads: number,
  sources: ReadonlyArray<Tier>,
  target: Tier,
): IOEither<KvError, void> {
  return () => {
    const stride = roundBytes(memory, layoutBytes(heads));
    const layouts = memory.backend.alloc(2 * stride, "copy layouts")();
    if (E.isLeft(layouts)) return layouts;
    const parts = (
      tier: Tier,
    ) => [tier.storage.keys, tier.storage.values, tier.storage.position, ...columns.map((c) => tier.storage.columns[c])];
    const move = (): E.Either<KvError, void> => {
      const done = new Array<number>(heads).fill(0);
      for (const source of sources) {
        const to = target.segments.map((s, h) => ({ ...s, start: s.start + (done[h] ?? 0), length: 0 }));
        const wrote = memory.backend.write(layouts.right, 0, encodeLayouts([source.segments, to], stride))();
        if (E.isLeft(wrote)) return wrote;
        const bindings: Record<string, Binding> = {
          "from.layout": { buffer: layouts.right },
          "to.layout": { buffer: layouts.right, offset: stride },
        };
        parts(source).forEach((buffer, i) => buffer && (bindings[`from.${i}`] = { buffer }));
        parts(target).forEach((buffer, i) => buffer && (bindings[`to.${i}`] = { buffer }));
        const ran = memory.backend.run(prepared, bindings)();
        if (E.isLeft(ran)) return ran;
        source.segments.forEach((s, h) => done[h] = (done[h] ?? 0) + s.length);
      }
      return E.right(undefined);
    };
    const moved = move();
    const freed = memory.backend.free(layouts.right)();
    return E.isLeft(moved) ? moved : freed;
  };
}

/** Layouts as they lie on the device: u32 (start, length, capacity) per head, each layout at a multiple of `stride` bytes. */
export function encodeLayouts(layouts: ReadonlyArray<ReadonlyArray<Segment>>, stride: number): Uint8Array {
  const bytes = new Uint8Array(layouts.length * stride);
  const view = new DataView(bytes.buffer);
  layouts.forEach((segments, i) =>
    segments.forEach((s, h) => {
      const at = i * stride + h * 12;
      view.setUint32(at, s.start, true);
      view.setUint32(at + 4, s.length, true);
      view.setUint32(at + 8, s.capacity, true);
    })
  );
  return bytes;
}

/** Copies one ring, or the newest of it, into another that is no larger. */
export const copyRecent = (
  memory: Memory,
  shape: LayerShape,
  source: RecentQueries,
  target: RecentQueries,
): TE.TaskEither<KvError, void> => {
  const [m, window] = [source.window, target.window];
  const widths = [shape.queryHeads * shape.keyDim, shape.queryHeads, 1];
  const build = (): Program =>
    finish("copy ring")(widths.reduce((draft: Draft, width, i) => {
      const [from, d1] = bound(`from.${i}`)(draft);
      const [to, d2] = bound(`to.${i}`)(d1);
      return emit({ op: "slide", args: [from, to], params: { m, window, width } })(d2);
    }, emptyDraft));
  const bindings = {
    "from.0": { buffer: source.queries },
    "from.1": { buffer: source.lse },
    "from.2": { buffer: source.position },
    "to.0": { buffer: target.queries },
    "to.1": { buffer: target.lse },
    "to.2": { buffer: target.position },
  };
  return pipe(
    program(memory, `ring ${m} ${window} x ${widths.join(" ")}`, build),
    TE.chainIOEitherK((prepared) => memory.backend.run(prepared, bindings)),
  );
};
