/**
 * Prefill and decode in Chromium, side by side with wllama: serves one isolated page with kvfold, the package and the model, and drives it.
 * @module
 */
import type { Page } from "playwright-core";
import { bundle } from "../tools/bundle.ts";
import { launchChromium, noChromium } from "../tools/chromium.ts";
import { isolation } from "../tools/page.ts";
import { installPeer } from "./peers/install.ts";
import type { Prompt, SpeedsInPage } from "./peers/wllama_page.ts";
import type { Speed } from "./run_model.ts";

/** The pinned peer. */
const WLLAMA = "@wllama/wllama@3.13.0";
/** Tokens of the run that is not timed. */
const WARM_UP = 64;

/** A page with both open and warm; speeds are those of one run. */
export interface InPage extends AsyncDisposable {
  readonly ours: (policy: string, prompt: Prompt) => Promise<Speed>;
  readonly peer: (prompt: Prompt) => Promise<Speed & { readonly tokens: number }>;
}

/** What the page may ask for: where it lies and its type. */
type Files = Readonly<Record<string, { readonly path: string; readonly type: string }>>;

const script = "text/javascript";

function serve(files: Files): Deno.HttpServer<Deno.NetAddr> {
  const page = '<!doctype html><meta charset="utf-8"><title>bench</title><script type="module" src="/page.js"></script>';
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const headers = (type: string): HeadersInit => ({ ...isolation, "Content-Type": type });
    if (pathname === "/") return new Response(page, { headers: headers("text/html") });
    const file = files[pathname];
    if (file === undefined) return new Response("There is no such file.", { status: 404 });
    return new Response((await Deno.open(file.path)).readable, { headers: headers(file.type) });
  });
}

/** Bundles the page into a folder and says what it is served with. */
async function filesOf(folder: string, installed: string, model: string): Promise<Files> {
  const written = await bundle({ page: "bench/peers/wllama_page.ts" }, folder);
  const esm = `${installed}/node_modules/@wllama/wllama/esm`;
  return {
    ...Object.fromEntries(written.map(({ name }) => [`/${name}`, { path: `${folder}/${name}`, type: script }])),
    "/wllama.js": { path: `${esm}/index.js`, type: script },
    "/wllama.wasm": { path: `${esm}/wasm/wllama.wasm`, type: "application/wasm" },
    "/model.gguf": { path: model, type: "application/octet-stream" },
  };
}

/** Calls a function of the page. */
const call = <T>(page: Page, name: keyof SpeedsInPage, ...args: ReadonlyArray<unknown>): Promise<T> =>
  page.evaluate<T, readonly [string, ReadonlyArray<unknown>]>(
    ([name, args]) => Reflect.get(Reflect.get(globalThis, "speedsInPage"), name)(...args),
    [name, args],
  );

/** Opens the page; `longest` is the longest prompt, tokens. Or one clause that says why there is none. */
export async function openInPage(
  model: string,
  promptOf: (tokens: number) => Prompt,
  longest: number,
): Promise<InPage | { readonly missing: string }> {
  const noBrowser = await noChromium();
  if (noBrowser !== null) return { missing: noBrowser };
  const installed = await installPeer("wllama", [WLLAMA]);
  if ("missing" in installed) return installed;
  const stack = new AsyncDisposableStack();
  try {
    const folder = await Deno.makeTempDir();
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const server = stack.use(serve(await filesOf(folder, installed.folder, model)));
    const browser = await launchChromium();
    stack.defer(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    await page.waitForFunction("'speedsInPage' in globalThis");
    await call<void>(page, "open", promptOf(Math.min(WARM_UP, longest)), longest);
    return {
      ours: (policy, prompt) => call(page, "ours", policy, prompt),
      peer: (prompt) => call(page, "peer", prompt),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (thrown) {
    await stack.disposeAsync();
    return { missing: `the page could not open ${WLLAMA}: ${thrown instanceof Error ? thrown.message.split("\n")[0] : String(thrown)}` };
  }
}
