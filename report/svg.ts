/**
 * Plots as SVG text: a Vega-Lite specification in, one self-contained string out. No DOM, no canvas and no clock takes part, so the same
 * data gives the same bytes; colours are legible on a light and on a dark page, and the background is transparent.
 * @module
 */
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { Error as errors, logger, parse, resetSVGDefIds, View } from "vega";
import { compile, type Config, type TopLevelSpec } from "vega-lite";
import type { KvError } from "../cache/error.ts";

/** Grey that stands out from white and from black alike (4.5 : 1 and 4.6 : 1). */
const INK = "#767676";
const RULE = "#76767640";

/** Colours of series, in order: told apart on both backgrounds, and by readers who confuse red and green (after Okabe and Ito). */
export const COLOURS: ReadonlyArray<string> = [
  "#0b84d8",
  "#e07b00",
  "#009e73",
  "#d1478f",
  "#9a7cf0",
  "#b08d00",
  "#c8502d",
  "#4fa3a5",
  "#8c8c8c",
  "#6a9a2d",
];

const CONFIG: Config = {
  background: "transparent",
  font: "system-ui, sans-serif",
  title: { color: INK, anchor: "start", fontSize: 14, subtitleColor: INK, subtitleFontSize: 12, offset: 12 },
  axis: { labelColor: INK, titleColor: INK, domainColor: INK, tickColor: INK, gridColor: RULE, labelFontSize: 12, titleFontSize: 12 },
  legend: { labelColor: INK, titleColor: INK, labelFontSize: 12, titleFontSize: 12, labelLimit: 520 },
  header: { labelColor: INK, titleColor: INK },
  view: { stroke: null },
  range: { category: [...COLOURS] },
};

/** Draws a specification. `name` becomes part of the ids inside the drawing, so that several drawings fit into one page. Left if Vega
 * refuses the specification.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * const spec = { data: { values: [{ x: 1 }, { x: 2 }] }, mark: "tick", encoding: { x: { field: "x", type: "quantitative" } } } as const;
 * assert((await orThrow(svgOf("ticks", spec))).startsWith("<svg"));
 * ```
 */
export const svgOf = (name: string, spec: TopLevelSpec): TaskEither<KvError, string> =>
  TE.tryCatch(
    async () => {
      const quiet = logger(errors);
      const runtime = parse(compile(spec, { config: CONFIG, logger: quiet }).spec);
      const view = new View(runtime, { renderer: "none", logger: quiet });
      try {
        const drawn = view.runAsync();
        await drawn;
        // Vega counts ids up over the life of the process; a drawing must not depend on those before it.
        resetSVGDefIds();
        return tidied(withIds(name, await view.toSVG()));
      } finally {
        view.finalize();
      }
    },
    (thrown): KvError => ({
      _tag: "Unavailable",
      what: `the plot "${name}"`,
      because: (thrown instanceof Error ? thrown.message : String(thrown)).split("\n", 1)[0] ?? "",
    }),
  );

/** Ids of gradients and clips, and what refers to them, behind the drawing's name. */
function withIds(name: string, svg: string): string {
  const prefix = name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return svg.replace(/(id="|url\(#)((?:gradient|clip|pattern)[\w-]*)/g, `$1${prefix}-$2`);
}

/** Coordinates to a hundredth of a pixel and an element per line: drawings are kept in files, whose changes people read. */
const tidied = (svg: string): string =>
  svg.replace(
    / (?:d|transform|x|y|x2|y2|width|height)="[^"]*"/g,
    (attribute) => attribute.replace(/-?\d+\.\d{3,}(?:e-?\d+)?/g, (number) => String(Number(Number(number).toFixed(2)))),
  )
    .replace(/>(?=<(?!\/?tspan))/g, ">\n");
