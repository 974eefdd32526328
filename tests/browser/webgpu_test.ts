/**
 * WebGPU inside a browser: Chromium's SwiftShader has subgroups and no f16, so that together with `tests/webgpu/conformance_test.ts` on Mesa's
 * llvmpipe, which has f16 and no subgroups, every variant of every shader runs somewhere.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { type OpName, opNames } from "../../backends/ops.ts";
import { shaders } from "../../backends/webgpu/_shaders.ts";
import { hasVariant } from "../../backends/webgpu/pipelines.ts";
import { casesFor, type ConformanceReport } from "../../conformance/mod.ts";
import { bundle } from "../../tools/bundle.ts";
import { servePage } from "../../tools/page.ts";
import { inBrowser, swiftShader } from "../support/chromium.ts";
import type { Feature, Opened, PageSide, PaperOutcome } from "./webgpu_page.ts";

/** Backends that work side by side. */
const LANES = Math.max(1, Math.min(4, navigator.hardwareConcurrency));

/** Calls the page's side of the test. */
const call = <A>(page: Page, name: keyof PageSide, ...args: ReadonlyArray<unknown>): Promise<A> =>
  page.evaluate<A>(`kvfoldSide.${name}(${args.map((arg) => JSON.stringify(arg)).join()})`);

/** The page with the suite in it. */
async function visiting(newPage: () => Promise<Page>, body: (page: Page) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await bundle({ suite: "tests/browser/webgpu_page.ts" }, folder);
    await Deno.writeTextFile(`${folder}/index.html`, '<!doctype html><title>suite</title><script type="module" src="suite.js"></script>');
    await using server = servePage(folder, 0, {});
    const page = await newPage();
    page.setDefaultTimeout(120_000);
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.waitForFunction("'kvfoldSide' in globalThis");
    await body(page);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Does the same with every item, in order, one at a time per lane; what fails does so where its promise is awaited. */
function sideBySide<A, B>(
  items: ReadonlyArray<A>,
  perform: (lane: number, item: A) => Promise<B>,
): ReadonlyArray<readonly [A, Promise<B>]> {
  const jobs = items.map((item) => ({ item, ...Promise.withResolvers<B>() }));
  const queue = jobs.values();
  for (let lane = 0; lane < LANES; lane++) {
    void (async () => {
      for (const { item, resolve, reject } of queue) await perform(lane, item).then(resolve, reject);
    })();
  }
  return jobs.map(({ item, promise }) => {
    promise.catch(() => undefined);
    return [item, promise];
  });
}

/** Whether every case of an op came out as it must. */
function checkReport(op: OpName, report: ConformanceReport): void {
  assertEquals(report.cases, { [op]: casesFor({}, op).length });
  const failed = report.failed.map(({ label, failures }) => `${label}: ${failures.join("; ")}`);
  assertEquals(failed, []);
}

/** A paper's check, or by name the op that its policy needs and this backend lacks. */
function checkPaper(outcome: PaperOutcome, missing: ReadonlyArray<OpName>): void {
  if (!("refused" in outcome)) return assertEquals(outcome.found, outcome.expected);
  assert(missing.some((op) => outcome.refused.startsWith(`the op ${op} is not supported`)), outcome.refused);
  console.log(`NOT RUN on webgpu: ${outcome.refused}`);
}

/** With subgroups everything; without them, which is what llvmpipe runs in full, the ops whose shaders know the difference. */
const variants: ReadonlyArray<{ readonly features: ReadonlyArray<Feature>; readonly ops: ReadonlyArray<OpName> }> = [
  { features: ["subgroups"], ops: opNames },
  { features: [], ops: opNames.filter((op) => op in shaders && hasVariant(op as keyof typeof shaders, "subgroups")) },
];

inBrowser(
  "every op agrees with the reference, and every paper keeps its rows, on WebGPU with subgroups and without",
  "WebGPU",
  (browser, t) =>
    visiting(() => browser.newPage(), async (page) => {
      const papers = await call<ReadonlyArray<string>>(page, "papers");
      for (const { features, ops } of variants) {
        const opened = await call<Opened | null>(page, "open", features, LANES);
        if (opened === null) return console.warn("SKIPPED: WebGPU in the browser, this Chromium offers no adapter (see .ci/run)");
        const { adapter, offered, enabled, missing } = opened;
        const name = `${adapter} with ${enabled.join(" and ") || "no optional feature"}`;
        console.log(`WebGPU adapter in Chromium: ${adapter}, which offers ${offered.join(" and ") || "no optional feature"}`);
        assertEquals(enabled, features);
        if (missing.length > 0) console.log(`NOT RUN on webgpu, which lacks them: ${missing.join(", ")}`);
        await t.step(`every shader is WGSL on ${name}`, async () =>
          assertEquals(await call<ReadonlyArray<string>>(page, "complaints", 0), []));
        const present = ops.filter((op) =>
          !missing.includes(op)
        );
        const reports = sideBySide(present, (lane, op) => call<ConformanceReport>(page, "conformance", lane, op));
        for (const [op, report] of reports) {
          await t.step(`${op} on ${name}: ${casesFor({}, op).length} cases agree`, async () => checkReport(op, await report));
        }
        const outcomes = sideBySide([...papers.keys()], (lane, i) => call<PaperOutcome>(page, "paper", lane, i));
        for (const [i, outcome] of outcomes) {
          await t.step(`${papers[i]} (${name})`, async () => checkPaper(await outcome, missing));
        }
        assertEquals(await call<number>(page, "close"), 0, "bytes that are still alive");
      }
    }),
  swiftShader,
);
