/**
 * The bundled library in a page of somebody else's: a static folder, one script tag, no build step.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { bundle, loadedWith } from "../../tools/bundle.ts";
import { servePage } from "../../tools/page.ts";
import { inBrowser } from "../support/chromium.ts";

/** A visitor's script: a policy on the built-in model. The import is the only line that is not the library's own API. */
const script = `
import { model, openWasm, orThrow, papers } from "./kvfold.js";
const backend = await orThrow(openWasm());
const opened = await orThrow(model.openModel(backend, model.inductionModel()));
const answers = [];
for (const policy of [papers.keepAll, await orThrow(papers.parsePolicy("streamingllm(8)"))]) {
  let text = "";
  for await (const step of model.generate(opened, policy, { prompt: "red=7341, blue=2206, red=", maxNewTokens: 4 })) text += step.text;
  answers.push(text);
}
globalThis.answers = answers;`;

inBrowser("the bundle runs from a plain static server and holds no CommonJS", "The bundle", async (browser) => {
  const folder = await Deno.makeTempDir();
  try {
    const files = await bundle({ kvfold: "tools/bundle_entry.ts" }, folder);
    for (const { name } of loadedWith(files, "kvfold.js")) assert(!/__esModule/.test(await Deno.readTextFile(`${folder}/${name}`)), name);
    await Deno.writeTextFile(`${folder}/host.js`, script);
    await Deno.writeTextFile(`${folder}/index.html`, '<!doctype html><title>host</title><script type="module" src="host.js"></script>');
    await using server = servePage(folder, 0, {});
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.waitForFunction("'answers' in globalThis");
    const [whole, pruned] = await page.evaluate<ReadonlyArray<string>>("answers");
    assertEquals([whole, pruned === "7341"], ["7341", false]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
