/**
 * The conformance suite as a library: run it on a backend of your own. Every op of the table is tried on ragged, empty and
 * awkwardly sized memory with sentinels around and between the rows, and compared with the reference backend.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { casesOf } from "./mod.ts";
 * assert(casesOf("attend").some((one) => one.label.includes("softcap")));
 * ```
 * @module
 */
export type { Case, Data, Expect, Range } from "./case.ts";
export { type CaseReport, checkOp } from "./check.ts";
export { casesFor, type ConformanceOptions, type ConformanceReport, runConformance } from "./run.ts";
export { casesOf, defaultSeed } from "./table.ts";
