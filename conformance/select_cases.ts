/**
 * Cases of the ops in `backends/select_ops.ts`.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { type Case, caseOf, input, output, outputIn } from "./case.ts";
import { type Layout, layoutOf, layoutWords, newestOf, positionsOf, rowForms, rowRanges, rowsOf, wordsOf } from "./layouts.ts";
import { randomOf } from "./random.ts";

/** Forms of rows that are plain numbers. */
const plainForms = rowForms.filter(({ codec }) => codec === "f32" || codec === "f16");

/** Bytes of bounds per slot: two rows in the slots of a page. */
const boundBytes = (dim: number, codec: RowCodec, page: number): number => 4 * Math.ceil(2 * dim * (codec === "f16" ? 2 : 4) / page / 4);

/** Bytes of the bounds of full pages, from page `first(length)` on; others must survive. */
const boundRanges = ({ segments }: Layout, page: number, rowBytes: number, width: number, m: number) =>
  segments.flatMap(({ start, length }) => {
    const first = m === 0 ? 0 : Math.floor(Math.max(0, length - m) / page);
    return Array.from({ length: Math.max(0, Math.floor(length / page) - first) }, (_, p) => {
      const from = (start + (first + p) * page) * rowBytes;
      return { from, to: from + 2 * width };
    });
  });

export const minmaxPagesCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    [0, 1, 5, 300].map((m, j) => {
      const random = randomOf(`minmaxPages ${lengths} ${dim} ${codec} ${m}`, seed);
      const [layout, page] = [layoutOf(random, lengths, 2), [16, 3, 1, 4][(i + j) % 4] ?? 1];
      const rowBytes = boundBytes(dim, codec, page);
      const width = dim * (codec === "f16" ? 2 : 4);
      const title = `pages of ${page} rows of ${dim} ${codec}, ${layout.label}, ${m === 0 ? "all" : `the last ${m} rows`}`;
      return caseOf(title, { op: "minmaxPages", params: { heads: lengths.length, dim, codec, page, m, rowBytes } }, {
        keys: input(rowsOf(random, layout, dim, codec)),
        layout: input(layoutWords(layout)),
        bounds: outputIn("minmaxPages", layout.slots * rowBytes / 4, boundRanges(layout, page, rowBytes, width, m)),
      });
    })
  );

export const boundQueryCases = (seed: number): ReadonlyArray<Case> =>
  [4, 32, 64, 80].flatMap((dim) =>
    [0, 1, 3, dim].flatMap((channels) =>
      [1, 3, 7].map((group) => {
        const random = randomOf(`boundQuery ${dim} ${channels} ${group}`, seed);
        const heads = 2 * group;
        return caseOf(`${channels} of ${dim} channels, groups of ${group}`, {
          op: "boundQuery",
          params: { heads, kvHeads: 2, dim, channels },
        }, { q: input(random.normals(heads * dim)), out: output("boundQuery", heads * 2 * dim) });
      })
    )
  );

/** Weights [minima, maxima] of which the heads of a group have one alone in each channel, and of every fifth none, as queries give. */
const oneSided = (weights: Float32Array<ArrayBuffer>, dim: number, perGroup: number): Float32Array<ArrayBuffer> =>
  weights.map((x, n) => {
    const [channel, side, group] = [n % dim, Math.floor(n / dim) % 2, Math.floor(n / perGroup)];
    return channel % 5 !== 0 && (channel * 7 + group) % 3 % 2 === side ? x : 0;
  });

/** How promises become scores, whether some rows alone take part, and whether weights are one-sided. */
const scoreForms = [
  ["max", false, false],
  ["softmax", false, false],
  ["max", true, false],
  ["softmax", true, false],
  ["softmax", false, true],
  ["softmax", true, true],
] as const;

export const pageScoresCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    scoreForms.map(([by, isPartial, isSided], j) => {
      const random = randomOf(
        `pageScores ${lengths} ${dim} ${codec} ${by}${isPartial ? " within" : ""}${isSided ? " one side" : ""}`,
        seed,
      );
      const [layout, kvHeads] = [layoutOf(random, lengths, 2), lengths.length];
      const [page, group] = [[16, 3, 1, 4][(i + j) % 4] ?? 1, [1, 3, 7][i % 3] ?? 1];
      const rowBytes = page === 1 ? 0 : boundBytes(dim, codec, page);
      const bounds = random.normals(layout.slots * rowBytes / 4);
      const held = codec === "f16" ? new Float16Array(layout.slots * rowBytes / 2).map((_, n) => bounds[n % bounds.length] ?? 0) : bounds;
      const params = { heads: kvHeads * group, kvHeads, dim, codec, page, rowBytes, by, capacity: layout.slots };
      // Runs of rows that take no part, longer than a page, and single ones.
      const within = random.normals(layout.slots).map((x, slot) => slot % 60 < 25 ? -1 : x + 1);
      const which = isPartial ? "some rows of " : "";
      const weights = random.normals(kvHeads * group * 2 * dim, 0.3);
      return caseOf(
        `${by} of ${group} heads${
          isSided ? " that look at one side" : ""
        }, ${which}pages of ${page} rows of ${dim} ${codec}, ${layout.label}`,
        {
          op: "pageScores",
          params,
        },
        {
          weights: input(isSided ? oneSided(weights, dim, 2 * group * dim) : weights),
          keys: input(rowsOf(random, layout, dim, codec)),
          layout: input(layoutWords(layout)),
          ...(page === 1 ? {} : { bounds: input(held) }),
          ...(isPartial ? { within: input(within) } : {}),
          out: outputIn("pageScores", layout.slots, rowRanges(layout, 4)),
        },
      );
    })
  );

export const attendRowsCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    [1, 3, 40].map((every, j) => {
      const random = randomOf(`attendRows ${lengths} ${dim} ${codec} ${every}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const position = positionsOf(random, layout);
      const window = [0, 16, 200][(i + 2 * j) % 3] ?? 0;
      // Runs of rows and single ones, the first head none at all where there are several.
      const named = layout.segments.map(({ length }, h) =>
        Array.from({ length }, (_, t) => t).filter((t) => (h > 0 || kvHeads === 1) && (t % every === 0 || Math.floor(t / 20) % 3 === 1))
      );
      const at = new Map(layout.segments.flatMap(({ start }, h) => (named[h] ?? []).map((t, n) => [start + n, t] as const)));
      const heads = kvHeads * group;
      const params = {
        ...{ m: 1, heads, kvHeads, keyDim: dim, valueDim: dim, keyCodec: codec, valueCodec: codec },
        ...{ scale: 1 / Math.sqrt(dim), window, softcap: 0, merge: false },
      };
      return caseOf(`every ${every}. row and runs, groups of ${group}, ${dim} ${codec}, ${layout.label}, window ${window}`, {
        op: "attendRows",
        params,
      }, {
        q: input(random.normals(heads * dim)),
        keys: input(rowsOf(random, layout, dim, codec)),
        values: input(rowsOf(random, layout, dim, codec)),
        position: input(position),
        layout: input(layoutWords(layout)),
        queryPosition: input(Uint32Array.of(newestOf(layout, position))),
        keep: input(wordsOf(layout, (slot) => at.get(slot) ?? 0)),
        counts: input(Uint32Array.from(named, (rows) => rows.length)),
        out: output("attendRows", heads * dim),
        lse: output("attendRows", heads),
      });
    })
  );
