/** Every op of the table on every backend, against the reference, which has golden tests of its own beside its source. */
import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { opNames } from "../backends/ops.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { type KvError, showError } from "../cache/error.ts";
import { casesOf, runConformance } from "../conformance/mod.ts";

const backends: Readonly<Record<string, () => TaskEither<KvError, Backend>>> = {
  "wasm-simd128": () => openWasm({ build: "simd128" }),
  // Two threads, so that splits and barriers are exercised whatever the machine has.
  "wasm-fast": () => openWasm({ build: "fast", threads: 2 }),
};

for (const [name, open] of Object.entries(backends)) {
  Deno.test(`conformance of ${name}`, async (t) => {
    const opened = await open()();
    if (E.isLeft(opened)) throw new Error(showError(opened.left));
    await using backend = opened.right;
    assertEquals(backend.name, name);
    for (const op of opNames) {
      const cases = casesOf(op).length;
      await t.step(`${op}: ${cases} cases agree with the reference, fences stand, memory returns`, async () => {
        const report = await runConformance(backend, { ops: [op] })();
        if (E.isLeft(report)) throw new Error(showError(report.left));
        assertEquals(report.right.cases, { [op]: cases });
        assertEquals(report.right.failed.map(({ label, failures }) => `${label}: ${failures.join("; ")}`), []);
      });
    }
  });
}
