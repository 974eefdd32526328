/**
 * The whole table on one backend.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { type OpName, opNames } from "../backends/ops.ts";
import { openReference } from "../backends/reference/mod.ts";
import { rowCodecs } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Case } from "./case.ts";
import { type CaseReport, checkOp } from "./check.ts";
import { casesOf, defaultSeed } from "./table.ts";

/** What to run. */
export interface ConformanceOptions {
  /** Ops to try; default all that the backend supports. */
  readonly ops?: ReadonlyArray<OpName>;
  /** Seed of the cases' numbers; default {@link defaultSeed}. */
  readonly seed?: number;
  /** Called after every case, for a progress line. */
  readonly onCase?: (report: CaseReport) => void;
}

/** How a backend fared. */
export interface ConformanceReport {
  /** Its name. */
  readonly backend: string;
  /** Cases per op that was tried; absent for an op that the backend does not support or nobody asked for. */
  readonly cases: Readonly<Partial<Record<OpName, number>>>;
  /** Reports of the cases that failed: empty means that the backend conforms. */
  readonly failed: ReadonlyArray<CaseReport>;
}

/** The cases of an op whose rows this backend can store. */
export const casesFor = ({ stores = () => true }: Pick<Backend, "stores">, op: OpName, seed: number = defaultSeed): ReadonlyArray<Case> =>
  casesOf(op, seed).filter(({ program }) =>
    program.body.every((instr) =>
      Object.values<unknown>(instr.params).every((value) => rowCodecs.every((codec) => codec !== value || stores(codec)))
    )
  );

/** Runs the table on a backend and compares with the reference, which is opened and closed here. Left only if the
 * reference cannot be opened; whatever the backend does wrong is in the report.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { isRight } from "fp-ts/Either.js";
 * import { openReference } from "../backends/reference/mod.ts";
 *
 * const mine = await openReference()(); // your backend here
 * if (isRight(mine)) {
 *   await using backend = mine.right;
 *   const report = await runConformance(backend, { ops: ["rank"] })();
 *   assertEquals(isRight(report) ? report.right.failed : report.left, []);
 * }
 * ```
 */
export const runConformance = (backend: Backend, options: ConformanceOptions = {}): TaskEither<KvError, ConformanceReport> => async () => {
  const opened = await openReference()();
  if (E.isLeft(opened)) return opened;
  await using oracle = opened.right;
  const cases: Partial<Record<OpName, number>> = {};
  const failed: CaseReport[] = [];
  for (const op of opNames) {
    if (!(options.ops ?? opNames).includes(op) || !backend.supports(op)) continue;
    const tried = casesFor(backend, op, options.seed);
    cases[op] = tried.length;
    for (const one of tried) {
      const report = await checkOp(backend, oracle)(one);
      options.onCase?.(report);
      if (report.failures.length > 0) failed.push(report);
    }
  }
  return E.right({ backend: backend.name, cases, failed });
};
