/**
 * `examples/page` in a real browser, used as a person would: files, policies, numbers, mistakes.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { bytesOf, rowsPerHead } from "../../cache/bytes.ts";
import { showBytes } from "../../cache/show.ts";
import { showError } from "../../cache/error.ts";
import { questionOf } from "../../eval/task.ts";
import { openModel, prefill, readModelFile } from "../../model/mod.ts";
import { parsePolicy } from "../../papers/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { isolation } from "../../tools/page.ts";
import { inBrowser, swiftShader } from "../support/chromium.ts";
import { tiny, tinyFile } from "../support/tiny_model.ts";
import { ask, choose, texts, visiting } from "./page_support.ts";

/** What the page must say of a policy on a file: rows of each head, and bytes. */
async function libraryOwn(file: Uint8Array, policy: string, document: string, question: string) {
  await using backend = await orThrow(openWasm({ build: "simd128" }));
  await using model = await orThrow(openModel(backend, file));
  const { prompt } = await orThrow(questionOf(await orThrow(model.tokenizer()), { document, question }));
  const { cache } = await orThrow(prefill(model, await orThrow(parsePolicy(policy)), { chunk: 128 })(prompt));
  return { rows: rowsPerHead(cache).flat().map(String), bytes: showBytes(bytesOf(cache).total) };
}

inBrowser(
  "the page shows the rows and bytes that the library gives, for the whole cache and for each policy",
  "The page",
  (browser) =>
    visiting(browser, isolation, async (page) => {
      const file = tinyFile(tiny("llama", { layers: 3 }));
      const [document, question] = ["The tide came in and the tide went out, and the harbour kept its own time. ".repeat(5), "When?"];
      await choose(page, "tiny.gguf", file);
      await page.fill("#document", document);
      await page.fill("#question", question);
      const policies = ["snapkv(25%, window=8)", "streamingllm(24)|streaming", "knorm(40)"];
      for (const policy of policies) await ask(page, policy);
      assertEquals(await texts(page, "#answers button"), ["keepall", ...policies]);
      for (const policy of ["keepall", ...policies]) {
        await page.click(`#answers button:text-is("${policy}")`);
        const { rows, bytes } = await libraryOwn(file, policy, document, question);
        await page.evaluate("document.querySelector('details').open = true");
        assertEquals(await texts(page, "#rows tbody td"), rows, policy);
        assert((await page.innerText("#answers li.shown .numbers")).includes(`${bytes} (`), policy);
      }
      assertEquals(await page.evaluate("document.documentElement.scrollWidth"), 360);
    }),
);

inBrowser(
  "the page keeps the answer with the whole cache and points at what a policy evicted",
  "The page",
  (browser) =>
    visiting(browser, {}, async (page) => {
      await ask(page, "streamingllm(8)");
      assertEquals((await texts(page, ".answer")).map((answer) => answer === "3197"), [true, false]);
      assertMatch(await page.innerText("#status"), /^induction: 2 layers, 4 key-value heads, on wasm-simd128, 1 thread\.$/);
      await page.focus("#position");
      await page.press("#position", "End");
      assertEquals(await page.innerText("#readout"), "Position 286, “8”: kept by 4 of 4 heads.");
      await page.press("#position", "PageDown");
      assertMatch(await page.innerText("#readout"), /: kept by 0 of 4 heads\.$/);
      assertEquals(await page.locator("#text .k5").count(), 8);
      assertEquals(await page.locator("#text .k0").count(), 287 - 8);
    }),
);

inBrowser(
  "mistakes on the page are one sentence each, and the next try works",
  "The page",
  (browser) =>
    visiting(browser, isolation, async (page) => {
      await page.fill("#policy", "snapkv(256)|adda");
      const wrong = parsePolicy("snapkv(256)|adda");
      assertEquals(await page.innerText("#policy-problem"), E.isLeft(wrong) ? showError(wrong.left) : "");
      await page.click("#go");
      assertEquals(await page.evaluate("document.activeElement.id"), "policy");
      assertEquals(await page.locator("#answers li").count(), 0);
      const broken = new TextEncoder().encode("GGUF, but not really one");
      await choose(page, "broken.gguf", broken);
      await page.fill("#policy", "tova(16)");
      await page.click("#go");
      await page.waitForSelector("#model-problem:not(:empty)");
      const refused = readModelFile("broken.gguf", broken);
      assertEquals(await page.innerText("#model-problem"), E.isLeft(refused) ? showError(refused.left) : "");
      await page.check('input[value="built-in"]');
      await page.fill("#document", "x".repeat(9000));
      await page.click("#go");
      await page.waitForSelector("#answers .problem");
      assertMatch((await texts(page, "#answers .problem"))[0] ?? "", /^context of induction, tokens: needed \d+, available 8192$/);
      await page.click("#sample");
      await ask(page, "tova(16)");
      assertEquals(await page.innerText("#answers li:first-child .answer"), "3197");
    }),
);

inBrowser(
  "on WebGPU the page keeps the rows that Wasm keeps, and names the adapter",
  "The page on WebGPU",
  (browser) =>
    visiting(browser, isolation, async (page) => {
      await choose(page, "tiny.gguf", tinyFile(tiny("llama")));
      await page.fill("#document", "The tide came in and went out, and the harbour kept its own time.");
      await page.fill("#question", "When?");
      const kept: string[] = [];
      for (const backend of ["wasm", "webgpu"]) {
        await page.selectOption("#backend", backend);
        await ask(page, "snapkv(50%, window=8)");
        // Scores of the same rows differ in the last digits; nothing in this text is that close to the cut.
        kept.push(JSON.stringify(await page.locator("#text span").evaluateAll((spans) => spans.map((span) => span.className))));
      }
      assertMatch(kept[0] ?? "", /"k5".*"k0"|"k0".*"k5"/);
      assertEquals(kept[1], kept[0]);
      assertMatch(await page.innerText("#status"), /on webgpu, .*swiftshader.*, in software\.$/i);
    }),
  swiftShader,
);
