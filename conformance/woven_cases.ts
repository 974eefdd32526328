/**
 * Cases of ops over two tiers at once: `weave`, `weaveRows`, `unweave`, `insertRows`, `queriesSeen`, `demote`.
 * @module
 */
import type { RowCodec } from "../backends/ops.ts";
import { blockRows, codecOf, rowBytes } from "../cache/codec.ts";
import { type Case, caseOf, input, output, outputIn, sentinels, updated, within } from "./case.ts";
import { blocked, codedRows, columnOf, type Layout, layoutOf, layoutWords, newestOf, positionsOf, rowRanges, rowsOf } from "./layouts.ts";
import { type Random, randomOf } from "./random.ts";

/** Rows per head in both tiers. */
const lengthsToWeave: ReadonlyArray<readonly [first: ReadonlyArray<number>, second: ReadonlyArray<number>]> = [
  [[0], [0]],
  [[33], [0]],
  [[0], [31]],
  [[33], [1]],
  [[160, 0, 31], [3, 127, 31]],
  [[1025, 3], [33, 0]],
];

/** Two tiers, and the list that their rows make. */
interface Woven {
  readonly first: Layout;
  readonly second: Layout;
  readonly woven: Layout;
  readonly firstPosition: Uint32Array<ArrayBuffer>;
  readonly secondPosition: Uint32Array<ArrayBuffer>;
  /** Codes in order, by woven slot. */
  readonly order: Uint32Array<ArrayBuffer>;
}

function wovenOf(random: Random, first: Layout, second: Layout): Woven {
  const [firstPosition, secondPosition] = [positionsOf(random, first), positionsOf(random, second)];
  const segments = first.segments.map((a, h) => {
    const b = second.segments[h] ?? { start: 0, length: 0, capacity: 0 };
    return { start: a.start + b.start, length: a.length + b.length, capacity: a.capacity + b.capacity };
  });
  const woven = { label: `${first.label} and ${second.label}`, segments, slots: first.slots + second.slots };
  const order = new Uint32Array(sentinels(woven.slots * 4).buffer);
  segments.forEach(({ start }, h) => {
    const rows = [first, second].flatMap(({ segments }, tier) => {
      const [s, position] = [segments[h] ?? { start: 0, length: 0 }, tier === 0 ? firstPosition : secondPosition];
      return Array.from({ length: s.length }, (_, i) => ({ code: 2 * i + tier, at: position[s.start + i] ?? 0 }));
    });
    order.set(rows.sort((a, b) => a.at - b.at || (a.code & 1) - (b.code & 1)).map(({ code }) => code), start);
  });
  return { first, second, woven, firstPosition, secondPosition, order };
}

const layoutsOf = ({ first, second, woven }: Woven) => ({
  firstLayout: input(layoutWords(first)),
  secondLayout: input(layoutWords(second)),
  wovenLayout: input(layoutWords(woven)),
});

export const weaveCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToWeave.map(([a, b]) => {
    const random = randomOf(`weave ${a} ${b}`, seed);
    const of = wovenOf(random, layoutOf(random, a), layoutOf(random, b));
    return caseOf(of.woven.label, { op: "weave", params: { heads: a.length } }, {
      ...layoutsOf(of),
      firstPosition: input(of.firstPosition),
      secondPosition: input(of.secondPosition),
      order: outputIn("weave", of.woven.slots, rowRanges(of.woven, 4)),
      wovenLayout: output("weave", 3 * a.length),
    });
  });

/** Copies, floats out of codes, codes out of floats and of blocks. */
const codecsToWeave: ReadonlyArray<readonly [first: RowCodec, second: RowCodec, woven: RowCodec]> = [
  ["f32", "f32", "f32"],
  ["q8", "f16", "f16"],
  ["q4g32", "q8", "f32"],
  ["q2g64", "f32", "q8"],
  ["q4c32", "f16", "f16"],
];

export const weaveRowsCases = (seed: number): ReadonlyArray<Case> =>
  codecsToWeave.flatMap((codecs) => lengthsToWeave.map((lengths, i) => weaveRowsCase(seed, codecs, lengths, i % 2 === 0 ? 64 : 128)));

function weaveRowsCase(
  seed: number,
  [firstCodec, secondCodec, wovenCodec]: typeof codecsToWeave[number],
  [a, b]: typeof lengthsToWeave[number],
  dim: number,
): Case {
  const random = randomOf(`weave rows ${firstCodec} ${secondCodec} ${wovenCodec} ${a} ${b}`, seed);
  const block = blockRows(codecOf(firstCodec));
  const plain = layoutOf(random, a);
  const of = wovenOf(random, block === 1 ? plain : blocked(plain, block), layoutOf(random, b));
  const params = { heads: a.length, dim, firstCodec, secondCodec, wovenCodec };
  const width = rowBytes(codecOf(wovenCodec), dim);
  const rows = (layout: Layout, codec: RowCodec) =>
    blockRows(codecOf(codec)) === 1
      ? rowsOf(random, layout, dim, codec)
      : codedRows(layout, dim, codec, random.normals(layout.slots * dim));
  return caseOf(`${firstCodec} and ${secondCodec} as ${wovenCodec} of ${dim}, ${of.woven.label}`, { op: "weaveRows", params }, {
    ...layoutsOf(of),
    first: input(rows(of.first, firstCodec)),
    second: input(rows(of.second, secondCodec)),
    order: input(of.order),
    out: { bytes: sentinels(of.woven.slots * width), expect: within("weaveRows", rowRanges(of.woven, width)) },
  });
}

export const unweaveCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToWeave.map(([a, b]) => {
    const random = randomOf(`unweave ${a} ${b}`, seed);
    const of = wovenOf(random, layoutOf(random, a), layoutOf(random, b));
    const kept = of.woven.segments.map(({ length }) => Array.from({ length }, (_, i) => i).filter(() => random.uniform() < 0.6));
    const keep = new Uint32Array(sentinels(of.woven.slots * 4).buffer);
    of.woven.segments.forEach(({ start }, h) => keep.set(kept[h] ?? [], start));
    const indices = (layout: Layout, counts: string) => ({
      bytes: sentinels(layout.slots * 4),
      expect: { _tag: "Kept", ranges: rowRanges(layout, 4), counts } as const,
    });
    return caseOf(of.woven.label, { op: "unweave", params: { heads: a.length } }, {
      ...layoutsOf(of),
      keep: input(keep),
      counts: input(Uint32Array.from(kept, (rows) => rows.length)),
      order: input(of.order),
      firstKeep: indices(of.first, "firstCounts"),
      firstCounts: output("unweave", a.length),
      secondKeep: indices(of.second, "secondCounts"),
      secondCounts: output("unweave", a.length),
    });
  });

export const insertRowsCases = (seed: number): ReadonlyArray<Case> =>
  [[0], [1], [33], [160, 0, 31]].flatMap((lengths) =>
    [0, 1, 5].flatMap((most) =>
      [4, 40, 256].map((rowBytes) => {
        const random = randomOf(`insert ${lengths} ${most} ${rowBytes}`, seed);
        const layout = layoutOf(random, lengths);
        const counts = lengths.map((length) => Math.min(most, length));
        const position = positionsOf(random, layout);
        layout.segments.forEach(({ start, length }, h) => {
          // Some rows from all over the head lie behind the others, each part ascending.
          const rows = [...position.subarray(start, start + length)];
          const late = new Set(rows.slice(0, counts[h]).map((_, i) => rows[Math.floor(random.uniform() * length)] ?? i));
          const behind = [...late].slice(0, counts[h]).sort((x, y) => x - y);
          position.set([...rows.filter((p) => !late.has(p)), ...behind], start);
          counts[h] = behind.length;
        });
        return caseOf(`the last ${most} of ${layout.label}, ${rowBytes} bytes`, {
          op: "insertRows",
          params: { heads: lengths.length, rowBytes },
        }, {
          position: input(position),
          counts: input(Uint32Array.from(counts)),
          layout: input(layoutWords(layout)),
          rows: updated("insertRows", random.normals(layout.slots * rowBytes / 4), rowRanges(layout, rowBytes)),
        });
      })
    )
  );

export const queriesSeenCases = (seed: number): ReadonlyArray<Case> =>
  [[0], [1], [127], [33, 0, 127], [1025, 3]].flatMap((lengths) =>
    ([[0, 0], [40, 16], [1 << 20, 64], [100, 0xFFFFFFFF]] as const).map(([prompt, window]) => {
      const random = randomOf(`queries seen ${lengths} ${prompt} ${window}`, seed);
      const layout = layoutOf(random, lengths);
      const position = positionsOf(random, layout);
      return caseOf(`window ${window} of ${prompt}, ${layout.label}`, {
        op: "queriesSeen",
        params: { heads: lengths.length, prompt, window },
      }, {
        position: input(position),
        layout: input(layoutWords(layout)),
        newest: input(Uint32Array.of(newestOf(layout, position))),
        out: outputIn("queriesSeen", layout.slots, rowRanges(layout, 4)),
      });
    })
  );

/** Bounds under which rows leave, pass on or stay, and windows that leave none to judge. */
const boundsToDemote: ReadonlyArray<readonly [high: number, low: number, recent: number]> = [[1, 0.5, 2], [0.9, 0, 0], [0.3, 0.3, 4], [
  2,
  2,
  1 << 20,
], [-1, -2, 0]];

export const demoteCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToWeave.flatMap(([a, b]) =>
    boundsToDemote.map(([high, low, recent]) => {
      const random = randomOf(`demote ${a} ${b} ${high} ${low} ${recent}`, seed);
      const [first, second] = [layoutOf(random, a), layoutOf(random, b)];
      const position = positionsOf(random, first);
      const score = (layout: Layout) =>
        columnOf(layout, () => random.integer(90) === 0 ? NaN : Math.round(random.uniform() * 40) / 40 + 0.1);
      const indices = (layout: Layout, counts: string) => ({
        bytes: sentinels(layout.slots * 4),
        expect: { _tag: "Kept", ranges: rowRanges(layout, 4), counts } as const,
      });
      return caseOf(`below ${high} and ${low}, ${recent} recent, ${first.label} and ${second.label}`, {
        op: "demote",
        params: { heads: a.length, high, low, recent },
      }, {
        firstScore: input(score(first)),
        firstPosition: input(position),
        firstLayout: input(layoutWords(first)),
        secondScore: input(score(second)),
        secondLayout: input(layoutWords(second)),
        newest: input(Uint32Array.of(newestOf(first, position))),
        firstKeep: indices(first, "firstCounts"),
        firstCounts: output("demote", a.length),
        firstLeave: indices(first, "firstLeaving"),
        firstLeaving: output("demote", a.length),
        secondKeep: indices(second, "secondCounts"),
        secondCounts: output("demote", a.length),
      });
    })
  );
