/**
 * Cases of the ops that decide rows as they leave a window: `perToken`, `leaving`, `rejoin`.
 * @module
 */
import { type Case, caseOf, input, output, updated } from "./case.ts";
import { columnOf, layoutOf, layoutWords, lengthsToTry, newestOf, positionsOf } from "./layouts.ts";
import { randomOf } from "./random.ts";

export const perTokenCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    [0, 1, 3, 33, 2000].map((m) => {
      const random = randomOf(`perToken ${lengths} ${m}`, seed);
      const layout = layoutOf(random, lengths, 2);
      const position = positionsOf(random, layout);
      const newest = Math.max(m, newestOf(layout, position));
      // Some of the run's tokens have no row any more: positions have gaps.
      const ranges = layout.segments.flatMap(({ start, length }) =>
        Array.from({ length }, (_, t) => start + t).filter((slot) => (position[slot] ?? 0) > newest - m).map((slot) => ({
          from: slot * 4,
          to: slot * 4 + 4,
        }))
      );
      return caseOf(`${m} tokens, newest ${newest}, ${layout.label}`, { op: "perToken", params: { m, heads: lengths.length } }, {
        x: input(random.normals(m * lengths.length)),
        position: input(position),
        layout: input(layoutWords(layout)),
        newest: input(Uint32Array.of(newest)),
        column: updated("perToken", columnOf(layout, () => random.uniform()), ranges),
      });
    })
  );

/** Share of the rows that a threshold removes: none, few, about half, all, and all by NaN. */
const scores: ReadonlyArray<readonly [string, (u: number) => number]> = [
  ["all above", (u) => 0.5 + u],
  ["few below", (u) => u - 0.01],
  ["half below", (u) => u - 0.5],
  ["all below", (u) => -u],
  ["some equal", (u) => u < 0.1 ? -1 : 0],
  ["few NaN", (u) => u < 0.02 ? NaN : 1],
];

export const leavingCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.flatMap((lengths) =>
    scores.flatMap(([label, score]) =>
      [[0, 0], [4, 8], [0, 128], [40, 0xFFFFFFFF]].map(([sinks = 0, recent = 0]) => {
        const random = randomOf(`leaving ${lengths} ${label} ${recent}`, seed);
        const layout = layoutOf(random, lengths, 2);
        const position = positionsOf(random, layout);
        const params = { heads: lengths.length, value: 0, sinks, recent };
        return caseOf(`${label}, sinks ${sinks} recent ${recent}, ${layout.label}`, { op: "leaving", params }, {
          score: input(columnOf(layout, () => score(random.uniform()))),
          position: input(position),
          layout: input(layoutWords(layout)),
          newest: input(Uint32Array.of(newestOf(layout, position))),
          tail: output("leaving", lengths.length * 3),
        });
      })
    )
  );

export const rejoinCases = (seed: number): ReadonlyArray<Case> =>
  lengthsToTry.map((lengths) => {
    const random = randomOf(`rejoin ${lengths}`, seed);
    const layout = layoutOf(random, lengths, 2);
    const from = lengths.map((length) => random.integer(length + 1));
    const tail = { ...layout, segments: layout.segments.map((s, h) => ({ start: s.start + (from[h] ?? 0), length: 0, capacity: 0 })) };
    return caseOf(layout.label, { op: "rejoin", params: { heads: lengths.length } }, {
      counts: input(Uint32Array.from(lengths, (length, h) => random.integer(length - (from[h] ?? 0) + 1))),
      tail: input(layoutWords(tail)),
      layout: updated("rejoin", layoutWords(layout), layout.segments.map((_, h) => ({ from: h * 12 + 4, to: h * 12 + 8 }))),
    });
  });
