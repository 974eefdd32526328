/**
 * Numbers as plots: SVG text from plain data, for reports, training curves and documents.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { orThrow } from "../mod.ts";
 * import { barChart } from "./mod.ts";
 * const svg = await orThrow(barChart({ title: "Bytes kept", x: { title: "MB" }, bars: [{ name: "keepall", value: 47 }, { name: "tova", value: 12 }] }));
 * assert(svg.startsWith("<svg"));
 * ```
 * @module
 */
export {
  type Axis,
  type Bar,
  type BarChart,
  barChart,
  type HeatMap,
  heatMap,
  type LineChart,
  lineChart,
  type Point,
  type Series,
} from "./charts.ts";
export { COLOURS, svgOf } from "./svg.ts";
