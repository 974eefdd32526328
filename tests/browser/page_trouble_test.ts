/**
 * `examples/page` where something is missing or goes away, and for people who do not see it.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import axe, { type AxeResults } from "axe-core";
import * as E from "fp-ts/Either.js";
import { resolveModel, SMOLLM2 } from "../../cli/catalogue.ts";
import { isolation } from "../../tools/page.ts";
import { inBrowser, swiftShader } from "../support/chromium.ts";
import { tiny, tinyFile } from "../support/tiny_model.ts";
import { ask, choose, texts, visiting } from "./page_support.ts";

inBrowser("without an adapter the page says so and takes Wasm", "The page", (browser) =>
  visiting(browser, {}, async (page) => {
    assertEquals(
      await page.innerText("#backend-note"),
      "backend webgpu cannot be opened: WebGPU is here, but no graphics adapter: wasm is used instead. " +
        "served without isolation headers: wasm has one thread.",
    );
    assertEquals(await page.inputValue("#backend"), "wasm");
    assert(await page.locator('#backend option[value="webgpu"]').isDisabled());
  }));

inBrowser(
  "a graphics device that goes away in mid-run is said, and Wasm answers",
  "The page on WebGPU",
  (browser) =>
    visiting(browser, isolation, async (page) => {
      await page.selectOption("#backend", "webgpu");
      await ask(page, "streamingllm(8)");
      await page.fill("#policy", "knorm(60)");
      await page.press("#policy", "Enter");
      await (await browser.newBrowserCDPSession()).send("Browser.crashGpuProcess");
      await page.waitForSelector('#answers li[data-phase="done"] button:text-is("knorm(60)")');
      await page.waitForSelector("#go:enabled");
      // A run that was quicker than the loss leaves it to the next.
      if (await page.innerText("#model-problem") === "") await ask(page, "knorm(61)");
      assertMatch(await page.innerText("#model-problem"), /^backend webgpu lost its device: .+; wasm reads the text again$/);
      assertMatch(await page.innerText("#status"), /on wasm-/);
      assertEquals(await page.inputValue("#backend"), "wasm");
    }),
  swiftShader,
);

inBrowser("no rule of WCAG 2.2 AA that axe knows is broken, light and dark, before a run and after", "The page", async (browser) => {
  for (const colorScheme of ["light", "dark"] as const) {
    await visiting(browser, isolation, async (page) => {
      await page.emulateMedia({ colorScheme });
      const broken = async (): Promise<ReadonlyArray<string>> => {
        await page.evaluate(axe.source);
        const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
        const { violations } = await page.evaluate<AxeResults>(
          `axe.run(document, { runOnly: ${JSON.stringify(rules)} })`,
        );
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
      };
      assertEquals(await broken(), []);
      await ask(page, "streamingllm(8)");
      await page.evaluate("document.querySelector('details').open = true");
      assertEquals(await broken(), []);
    });
  }
});

const smollm2 = await resolveModel(SMOLLM2.name, { env: (name) => Deno.env.get(name), progress: () => {} })();
const path = E.isRight(smollm2) && smollm2.right._tag === "File" ? smollm2.right.path : null;

inBrowser(
  "KVzap can be chosen with SmolLM2: its network is served with the page",
  "KVzap on the page",
  (browser) =>
    visiting(browser, isolation, async (page) => {
      await choose(page, "tiny.gguf", tinyFile(tiny("llama")));
      const sentence = "The dog of the lighthouse is a grey collie. Its name is Biscuit. It barks at the second tap. ";
      await page.fill("#document", sentence);
      await page.fill("#question", "What is the name of the dog?");
      await page.fill("#policy", "kvzap(-4)");
      await page.click("#go");
      await page.waitForSelector("#answers .problem");
      assertMatch((await texts(page, "#answers .problem")).join(), /kvzap/);
      await page.setInputFiles("#file", path ?? "");
      await page.fill("#document", sentence.repeat(12));
      await ask(page, "kvzap(-4)");
      const [whole, pruned] = await texts(page, "#answers .numbers");
      assertMatch(whole ?? "", /\(100\.0\s%\)/);
      const kept = Number(/\(([\d.]+)\s%\)/.exec(pruned ?? "")?.[1]);
      assert(kept > 0 && kept < 100, pruned);
    }),
  [],
  path === null ? "SmolLM2 cannot be had" : null,
);
