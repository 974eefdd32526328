/**
 * Cases of `dropChannels`.
 * @module
 */
import { type Case, caseOf, input, output, updated } from "./case.ts";
import { type Layout, layoutOf, layoutWords, rowForms, rowsOf, wordsOf } from "./layouts.ts";
import { randomOf } from "./random.ts";

const noQuery = 0xFFFFFFFF;

/** The bytes of the rows that leave: those with these indices. */
const leavingRanges = (layout: Layout, leave: ReadonlyArray<ReadonlyArray<number>>, bytes: number) =>
  layout.segments.flatMap(({ start }, h) => (leave[h] ?? []).map((t) => ({ from: (start + t) * bytes, to: (start + t + 1) * bytes })));

/** No query, one, some without a position; no channel, some or all go; no row, some or all leave. */
export const dropChannelsCases = (seed: number): ReadonlyArray<Case> =>
  rowForms.filter(({ codec }) => codec === "f32" || codec === "f16").flatMap(({ lengths, dim, codec }, i) =>
    [0, 1, 9].map((queries, j) => {
      const random = randomOf(`dropChannels ${lengths} ${dim} ${codec} ${queries}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const drop = [0, Math.floor(dim * 0.4), dim][(i + 2 * j) % 3] ?? 0;
      const share = [1, 0.5, 0][(i + j) % 3] ?? 1;
      const leave = lengths.map((length) => Array.from({ length }, (_, t) => t).filter(() => random.uniform() < share));
      const indices = wordsOf({ ...layout, segments: [] }, () => 0);
      for (const [h, { start }] of layout.segments.entries()) indices.set(leave[h] ?? [], start);
      const title = `${drop} of ${dim} ${codec} by ${queries} queries of ${group} heads, ${layout.label}`;
      return caseOf(
        title,
        { op: "dropChannels", params: { queries, heads: kvHeads * group, kvHeads, keyDim: dim, keyCodec: codec, drop } },
        {
          q: input(random.normals(queries * kvHeads * group * dim)),
          queryPosition: input(Uint32Array.from({ length: queries }, (_, n) => n % 4 === 2 ? noQuery : n)),
          leave: input(indices),
          leaving: input(Uint32Array.from(leave, (rows) => rows.length)),
          layout: input(layoutWords(layout)),
          keys: updated("dropChannels", rowsOf(random, layout, dim, codec), leavingRanges(layout, leave, dim * (codec === "f32" ? 4 : 2))),
          dropped: output("dropChannels", kvHeads * dim),
        },
      );
    })
  );
