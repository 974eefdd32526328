/**
 * What the test page runs: the choice of a build, and a few ops of the conformance table on it. The test reads `kvfoldReport`.
 * @module
 */
import { isLeft } from "fp-ts/Either.js";
import { openWasm, type WasmOptions } from "../../backends/wasm/mod.ts";
import { showError } from "../../cache/error.ts";
import { runConformance } from "../../conformance/mod.ts";

/** How one way of opening fared in this page. */
export interface PageReport {
  /** The backend's name, or the sentence that says why there is none. */
  readonly backend: string;
  readonly threads: number;
  /** Cases tried, and labels of those that failed. */
  readonly cases: number;
  readonly failed: ReadonlyArray<string>;
}

async function report(options: WasmOptions): Promise<PageReport> {
  const opened = await openWasm(options)();
  if (isLeft(opened)) return { backend: showError(opened.left), threads: 0, cases: 0, failed: [] };
  await using backend = opened.right;
  const ran = await runConformance(backend, { ops: ["norm", "attend", "rank", "append"] })();
  if (isLeft(ran)) return { backend: showError(ran.left), threads: 0, cases: 0, failed: [] };
  const cases = Object.values(ran.right.cases).reduce((sum, n) => sum + n, 0);
  return { backend: backend.name, threads: backend.caps.threads, cases, failed: ran.right.failed.map(({ label }) => label) };
}

const reports = report({ threads: 2 }).then(async (auto) => ({ auto, fast: await report({ build: "fast", threads: 2 }) }));
Object.assign(globalThis, { kvfoldReport: reports });
