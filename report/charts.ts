/**
 * The three plots that reports need, as functions from numbers to SVG: lines with intervals, bars, and heat maps.
 * @module
 */
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import { COLOURS, svgOf } from "./svg.ts";

/** An axis: its title with the unit, and how numbers are laid out on it. */
export interface Axis {
  /** What is measured, and its unit. */
  readonly title: string;
  /** `linear` where nothing is said. `log` needs numbers above zero; `symlog` is linear between -1 and 1 times `constant`. */
  readonly scale?: "linear" | "log" | "symlog";
  /** How numbers print, in d3 notation: `.0%`, `.2f`. */
  readonly format?: string;
  /** True: the axis need not show zero. */
  readonly cropped?: boolean;
  /** Numbers that get a tick; chosen by the plot where nothing is said. */
  readonly ticks?: ReadonlyArray<number>;
}

/** One point of a line, with its interval where it has one. */
export interface Point {
  /** Across. */
  readonly x: number;
  /** Up. */
  readonly y: number;
  /** Lower end of the interval. */
  readonly low?: number;
  /** Upper end of the interval. */
  readonly high?: number;
}

/** A line and its name in the legend. */
export interface Series {
  /** As it is shown. */
  readonly name: string;
  /** Which of the colours it has, where several plots share their series; its place in the list where nothing is said. */
  readonly colour?: number;
  /** From left to right. */
  readonly points: ReadonlyArray<Point>;
}

/** What {@link lineChart} draws. */
export interface LineChart {
  /** Above the plot. */
  readonly title: string;
  /** Under the title. */
  readonly subtitle?: string;
  /** Axis across. */
  readonly x: Axis;
  /** Axis upwards. */
  readonly y: Axis;
  /** In the order of the legend. */
  readonly series: ReadonlyArray<Series>;
  /** Pixels of the plotted area; 640 by 320 where nothing is said. */
  readonly width?: number;
  /** Pixels upwards. */
  readonly height?: number;
  /** False: lines alone, for curves of many points. True where nothing is said. */
  readonly dots?: boolean;
}

/** How series look that share a colour, the first of them first. */
const ROUNDS = [
  { shape: "circle", dash: [1, 0] },
  { shape: "square", dash: [6, 3] },
  { shape: "triangle-up", dash: [2, 2] },
] as const;

/** Lines over a number, each point with its interval as a whisker. Left where there is nothing finite to draw.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * const points = [{ x: 1, y: 2.5, low: 2.4, high: 2.6 }, { x: 2, y: 2.1, low: 2, high: 2.2 }];
 * const svg = await orThrow(lineChart({ title: "Loss", x: { title: "epoch" }, y: { title: "loss" }, series: [{ name: "train", points }] }));
 * assert(svg.includes("Loss") && svg.includes("train"));
 * ```
 */
export const lineChart = (chart: LineChart): TaskEither<KvError, string> => {
  const rows = chart.series.flatMap(({ name, points }) => points.filter(isFinitePoint).map((point) => ({ name, ...point })));
  if (rows.length === 0) return nothing(chart.title);
  const names = chart.series.map(({ name }) => name);
  const x = { field: "x", type: "quantitative" as const, ...axisOf(chart.x) };
  const places = chart.series.map(({ colour }, i) => colour ?? i);
  const told = <A>(range: A[]) => ({
    field: "name",
    type: "nominal" as const,
    scale: { domain: names, range },
    legend: names.length > 1 ? { title: null, symbolOpacity: 1 } : null,
  });
  // One colour means two series once all are used: the second has squares on a dashed line.
  const round = (place: number): number => Math.floor(place / COLOURS.length) % ROUNDS.length;
  const color = told(places.map((place) => COLOURS[place % COLOURS.length] ?? ""));
  const shape = told(places.map((place) => ROUNDS[round(place)]?.shape ?? "circle"));
  const strokeDash = told(places.map((place) => [...ROUNDS[round(place)]?.dash ?? []]));
  const looks = places.some((place) => round(place) > 0) ? { shape, strokeDash } : {};
  const y = { field: "y", type: "quantitative" as const, ...axisOf(chart.y) };
  return svgOf(chart.title, {
    ...frame(chart),
    data: { values: rows },
    encoding: { x, color },
    layer: [
      {
        transform: [{ filter: "isValid(datum.low)" }],
        mark: { type: "rule", opacity: 0.45 },
        encoding: { y: { ...y, field: "low" }, y2: { field: "high" } },
      },
      {
        mark: { type: "line", strokeWidth: 2, point: chart.dots === false ? false : { filled: true, size: 45 } },
        encoding: { y, ...looks },
      },
    ],
  });
};

/** One bar. */
export interface Bar {
  /** As it is shown. */
  readonly name: string;
  /** Its length. */
  readonly value: number;
  /** Lower end of the interval. */
  readonly low?: number;
  /** Upper end of the interval. */
  readonly high?: number;
}

/** What {@link barChart} draws. */
export interface BarChart {
  /** Above the plot. */
  readonly title: string;
  /** Under the title. */
  readonly subtitle?: string;
  /** Axis across. */
  readonly x: Axis;
  /** From top to bottom. */
  readonly bars: ReadonlyArray<Bar>;
  /** Pixels; 640 where nothing is said. */
  readonly width?: number;
}

/** Lying bars in the order given, each with its interval as a whisker. Left where there is nothing finite to draw.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * const svg = await orThrow(barChart({ title: "Rows", x: { title: "rows" }, bars: [{ name: "snapkv", value: 12 }, { name: "tova", value: 7 }] }));
 * assert(svg.includes("snapkv"));
 * ```
 */
export const barChart = (chart: BarChart): TaskEither<KvError, string> => {
  const values = chart.bars.filter(({ value }) => Number.isFinite(value));
  if (values.length === 0) return nothing(chart.title);
  const y = { field: "name", type: "nominal" as const, sort: null, axis: { title: null, labelLimit: 520, ticks: false, domain: false } };
  const x = { field: "value", type: "quantitative" as const, ...axisOf(chart.x) };
  return svgOf(chart.title, {
    ...frame({ ...chart, height: 24 * values.length }),
    data: { values },
    encoding: { y },
    layer: [
      { mark: { type: "bar", color: COLOURS[0] ?? "", height: 14, cornerRadiusEnd: 3 }, encoding: { x } },
      {
        transform: [{ filter: "isValid(datum.low)" }],
        mark: { type: "rule", color: COLOURS[1] ?? "", strokeWidth: 2 },
        encoding: { x: { ...x, field: "low" }, x2: { field: "high" } },
      },
    ],
  });
};

/** What {@link heatMap} draws: `cells[row][column]`. */
export interface HeatMap {
  /** Above the plot. */
  readonly title: string;
  /** Under the title. */
  readonly subtitle?: string;
  /** Titles of the two axes and of the colour; `range` fixes the numbers at the ends of the colour scale. */
  readonly rows: string;
  /** Title of the axis across. */
  readonly columns: string;
  /** The colour, and the numbers at the ends of its scale. */
  readonly value: Axis & { readonly range?: readonly [number, number] };
  /** Rows of numbers, all of one length. */
  readonly cells: ReadonlyArray<ReadonlyArray<number>>;
  /** Names instead of 0, 1, 2, …. */
  readonly rowNames?: ReadonlyArray<string>;
  /** Names of the columns. */
  readonly columnNames?: ReadonlyArray<string>;
  /** Pixels of one cell; 20 by 20 where nothing is said. */
  readonly cell?: { readonly width: number; readonly height: number };
}

/** A table of numbers as colours. Left where there is nothing finite to draw.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * const svg = await orThrow(heatMap({ title: "Kept", rows: "head", columns: "layer", value: { title: "share" }, cells: [[0, 0.5], [1, 0.25]] }));
 * assert(svg.includes("layer"));
 * ```
 */
export const heatMap = (chart: HeatMap): TaskEither<KvError, string> => {
  const named = (names: ReadonlyArray<string> | undefined, i: number): string => names?.[i] ?? String(i);
  const values = chart.cells.flatMap((row, r) =>
    row.map((value, c) => ({ row: named(chart.rowNames, r), column: named(chart.columnNames, c), value }))
  ).filter(({ value }) => Number.isFinite(value));
  if (values.length === 0) return nothing(chart.title);
  const { width, height } = chart.cell ?? { width: 20, height: 20 };
  const axis = (title: string) => ({ title, ticks: false, domain: false, labelAngle: 0, labelOverlap: true });
  return svgOf(chart.title, {
    ...frame(chart),
    width: { step: width },
    height: { step: height },
    data: { values },
    mark: { type: "rect" },
    encoding: {
      x: { field: "column", type: "ordinal", sort: null, axis: axis(chart.columns) },
      y: { field: "row", type: "ordinal", sort: null, axis: axis(chart.rows) },
      color: {
        field: "value",
        type: "quantitative",
        scale: { scheme: "viridis", ...(chart.value.range === undefined ? {} : { domain: [...chart.value.range] }) },
        legend: { title: chart.value.title, ...(chart.value.format === undefined ? {} : { format: chart.value.format }) },
      },
    },
  });
};

const isFinitePoint = ({ x, y }: Point): boolean => Number.isFinite(x) && Number.isFinite(y);

const nothing = (title: string): TaskEither<KvError, never> =>
  TE.left({ _tag: "InvalidArgument", argument: `numbers of the plot "${title}"`, value: "none that is finite", allowed: "at least one" });

const frame = ({ title, subtitle, width, height }: Pick<LineChart, "title" | "subtitle" | "width" | "height">) => ({
  title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) },
  width: width ?? 640,
  height: height ?? 320,
});

const axisOf = ({ title, scale, format, cropped, ticks }: Axis) => ({
  axis: { title, ...(format === undefined ? {} : { format }), ...(ticks === undefined ? {} : { values: [...ticks] }) },
  scale: scale === "log" ? { type: scale, nice: false } : { type: scale ?? "linear", zero: cropped !== true, nice: true },
});
