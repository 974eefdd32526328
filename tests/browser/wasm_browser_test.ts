import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Browser } from "playwright-core";
import { isolation } from "../../tools/page.ts";
import { inBrowser } from "../support/chromium.ts";
import type { PageReport } from "./wasm_page.ts";

/** The page's script, bundled for browsers. */
async function bundle(): Promise<string> {
  const entry = new URL("wasm_page.ts", import.meta.url).pathname;
  const folder = await Deno.makeTempDir();
  try {
    const output = `${folder}/page.js`;
    const command = new Deno.Command(Deno.execPath(), {
      args: ["bundle", "--quiet", "--platform", "browser", "--output", output, entry],
      stdout: "null",
      stderr: "piped",
    });
    const { success, stderr } = await command.output();
    assert(success, new TextDecoder().decode(stderr));
    return await Deno.readTextFile(output);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Serves the page on 127.0.0.1, which is a secure context; isolated or not. */
function serve(script: string, headers: Readonly<Record<string, string>>): Deno.HttpServer<Deno.NetAddr> {
  const page = '<!doctype html><meta charset="utf-8"><title>kvfold</title><script type="module" src="/page.js"></script>';
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const isScript = new URL(request.url).pathname === "/page.js";
    return new Response(isScript ? script : page, { headers: { ...headers, "Content-Type": isScript ? "text/javascript" : "text/html" } });
  });
}

/** What the page reports when it is served with these headers. */
async function visit(
  browser: Browser,
  script: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly auto: PageReport; readonly fast: PageReport }> {
  await using server = serve(script, headers);
  const page = await browser.newPage();
  // Thousands of cases on a machine that may be busy.
  page.setDefaultTimeout(120_000);
  try {
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.waitForFunction("'kvfoldReport' in globalThis");
    return await page.evaluate<{ auto: PageReport; fast: PageReport }>("kvfoldReport");
  } finally {
    await page.close();
  }
}

inBrowser(
  "threads where the page is isolated, one thread where it is not, and a clear error for the fast build",
  "The Wasm backend",
  async (browser) => {
    const script = await bundle();
    const isolated = await visit(browser, script, isolation);
    for (const report of [isolated.auto, isolated.fast]) {
      assertEquals([report.backend, report.threads, report.failed], ["wasm-fast", 2, []]);
      assert(report.cases > 100, `${report.cases} cases`);
    }
    const alone = await visit(browser, script, {});
    assertEquals([alone.auto.backend, alone.auto.threads, alone.auto.failed], ["wasm-simd128", 1, []]);
    assertEquals(alone.auto.cases, isolated.auto.cases);
    assertStringIncludes(alone.fast.backend, "backend wasm-fast cannot be opened: there is no SharedArrayBuffer here");
  },
);
