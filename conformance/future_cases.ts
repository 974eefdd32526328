/**
 * Cases of the ops in `backends/future_ops.ts`.
 * @module
 */
import { type Case, caseOf, input, outputIn, updated } from "./case.ts";
import { layoutOf, layoutWords, positionsOf, rowForms, rowRanges, rowsOf } from "./layouts.ts";
import { randomOf } from "./random.ts";

/** Forms of rows that are plain numbers. */
const plainForms = rowForms.filter(({ codec }) => codec === "f32" || codec === "f16");

/** Cosines and sines; of halves only quarter turns, which round to nothing new. */
function turns(rows: number, dims: number, quarters: boolean): Float32Array<ArrayBuffer> {
  const table = new Float32Array(rows * dims);
  for (let d = 0; d < rows; d++) {
    for (let c = 0; c < dims / 2; c++) {
      const angle = quarters ? (d + c) % 4 * Math.PI / 2 : d * 10000 ** (-2 * c / dims);
      table[d * dims + c] = quarters ? Math.round(Math.cos(angle)) : Math.cos(angle);
      table[d * dims + dims / 2 + c] = quarters ? Math.round(Math.sin(angle)) : Math.sin(angle);
    }
  }
  return table;
}

export const rerotateCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim, codec }, i) =>
    [0, 7, 4000].map((count) => {
      const random = randomOf(`rerotate ${lengths} ${dim} ${codec} ${count}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const [position, dims] = [positionsOf(random, layout), i % 2 === 0 ? dim : Math.max(2, dim / 2)];
      const end = Math.max(0, ...lengths) + i % 3 - 1;
      const width = dim * (codec === "f16" ? 2 : 4);
      const keys = rowsOf(random, layout, dim, codec);
      const exactly = codec === "f16" ? { _tag: "Bits", ranges: rowRanges(layout, width) } as const : null;
      const rows = updated("rerotate", keys, rowRanges(layout, width));
      return caseOf(`${dims} of ${dim} ${codec}, up to ${count} back, to ${end}, ${layout.label}`, {
        op: "rerotate",
        params: { heads: lengths.length, dim, codec, dims, count },
      }, {
        keys: exactly === null ? rows : { ...rows, expect: exactly },
        position: { ...updated("rerotate", position, rowRanges(layout, 4)), expect: { _tag: "Bits", ranges: rowRanges(layout, 4) } },
        layout: input(layoutWords(layout)),
        end: input(Uint32Array.of(Math.max(0, end))),
        table: input(turns(count, dims, codec === "f16")),
      });
    })
  );

export const expectedAttentionCases = (seed: number): ReadonlyArray<Case> =>
  plainForms.flatMap(({ lengths, dim: keyDim, codec: keyCodec }, i) =>
    [0, 1, 50].map((queries, j) => {
      const random = randomOf(`expectedAttention ${lengths} ${keyDim} ${keyCodec} ${queries}`, seed);
      const [layout, kvHeads, group] = [layoutOf(random, lengths, 2), lengths.length, [1, 3, 7][(i + j) % 3] ?? 1];
      const heads = kvHeads * group;
      const dims = i % 2 === 0 ? keyDim : Math.max(2, keyDim / 2);
      const positions = Uint32Array.from({ length: queries }, (_, n) => n % 5 === 4 ? 0xFFFFFFFF : n);
      const [spread, sinks] = [i % 2 === j % 2, [0, 9][(i + j) % 2] ?? 0];
      const title = `${queries} queries from ${sinks} on of ${group} heads each, ${
        spread ? "spread, " : ""
      }${dims} of ${keyDim} ${keyCodec}, ${layout.label}`;
      return caseOf(title, {
        op: "expectedAttention",
        params: { queries, heads, kvHeads, keyDim, keyCodec, dims, scale: 1 / Math.sqrt(keyDim), sinks, spread },
      }, {
        q: input(random.normals(queries * heads * keyDim)),
        queryPosition: input(positions),
        keys: input(rowsOf(random, layout, keyDim, keyCodec)),
        layout: input(layoutWords(layout)),
        table: input(random.normals(queries * dims, 0.5)),
        out: outputIn("expectedAttention", layout.slots, rowRanges(layout, 4)),
        logits: outputIn("expectedAttention", layout.slots, rowRanges(layout, 4)),
      });
    })
  );
