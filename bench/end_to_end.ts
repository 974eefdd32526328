/**
 * Prefill and decode of SmolLM2-135M Q4_1 side by side with two others on the same file, with two threads and an f16 cache each: native
 * llama.cpp (npm `node-llama-cpp`, run by Node) with kvfold in Deno, and wllama with kvfold in one page of Chromium. Runs alternate, so that
 * all meet the same machine; medians are compared.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { type Model, openModel } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { type InPage, openInPage } from "./in_page.ts";
import { installPeer } from "./peers/install.ts";
import type { Prompt } from "./peers/wllama_page.ts";
import { DECODED, type Speed, THREADS, timeRun } from "./run_model.ts";
import { summary } from "./time.ts";

/** Ours in a page, wllama's there, and the one divided by the other. */
export interface AgainstWllama {
  readonly ours: Speed;
  readonly peer: Speed;
  readonly ratio: Speed;
}

/** One length: ours under a policy, native llama.cpp's (null where it cannot run), and ours divided by it; and the same against wllama. */
export interface EndToEnd {
  readonly tokens: number;
  readonly policy: string;
  readonly ours: Speed;
  readonly peer: Speed | null;
  readonly ratio: Speed | null;
  /** Null where it cannot run, and for prompts longer than {@link LONGEST_IN_PAGE}. */
  readonly wllama: AgainstWllama | null;
  /** Cache at the end of prefill, bytes. */
  readonly cacheBytes: number;
}

/** What is timed. `note` is told what had to be left out. */
export interface EndToEndOptions {
  readonly path: string;
  readonly promptOf: (tokens: number) => Prompt;
  readonly lengths: ReadonlyArray<number>;
  readonly policies: ReadonlyArray<string>;
  readonly repeats: number;
  readonly note: (line: string) => void;
}

/** The pinned native peer. */
const NATIVE = ["node-llama-cpp@3.22.1", "@node-llama-cpp/linux-x64@3.22.1"];
/** Longest prompt for wllama, tokens: at some 14 tokens/s a longer one would take many minutes. */
export const LONGEST_IN_PAGE = 2048;

async function runNative(folder: string, path: string, ids: ReadonlyArray<number>): Promise<Speed> {
  const child = new Deno.Command("node", {
    args: ["llama_cpp.mjs", path, String(ids.length), String(DECODED), String(THREADS)],
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(ids)));
  await writer.close();
  const { stdout } = await child.output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

const medianOf = (speeds: ReadonlyArray<Speed>): Speed => ({
  prefillTokensPerSecond: summary(speeds.map((s) => s.prefillTokensPerSecond)).median,
  decodeTokensPerSecond: summary(speeds.map((s) => s.decodeTokensPerSecond)).median,
});

const dividedBy = (peer: Speed) => (ours: Speed): Speed => ({
  prefillTokensPerSecond: ours.prefillTokensPerSecond / peer.prefillTokensPerSecond,
  decodeTokensPerSecond: ours.decodeTokensPerSecond / peer.decodeTokensPerSecond,
});

/** One length in Deno, in turn with native llama.cpp. */
async function inDeno(
  model: Model,
  { ids }: Prompt,
  native: string | null,
  options: EndToEndOptions,
): Promise<ReadonlyArray<Omit<EndToEnd, "wllama">>> {
  const plans = await Promise.all(options.policies.map((text) => orThrow(parsePolicy(text))));
  const ours = plans.map((): (Speed & { readonly cacheBytes: number })[] => []);
  const peers: Speed[] = [];
  for (let i = 0; i < options.repeats; i++) {
    for (const [p, policy] of plans.entries()) ours[p]?.push(await timeRun(model, policy, ids));
    if (native !== null) peers.push(await runNative(native, options.path, ids));
  }
  const peer = peers.length > 0 ? medianOf(peers) : null;
  return options.policies.map((policy, p) => {
    const speed = medianOf(ours[p] ?? []);
    const ratio = peer === null ? null : dividedBy(peer)(speed);
    return { tokens: ids.length, policy, ours: speed, peer, ratio, cacheBytes: ours[p]?.[0]?.cacheBytes ?? 0 };
  });
}

/** One length in a page, in turn with wllama: by the index of the policy. */
async function againstWllama(page: InPage, prompt: Prompt, options: EndToEndOptions): Promise<ReadonlyArray<AgainstWllama>> {
  const ours = options.policies.map((): Speed[] => []);
  const peers: Speed[] = [];
  for (let i = 0; i < options.repeats; i++) {
    for (const [p, policy] of options.policies.entries()) ours[p]?.push(await page.ours(policy, prompt));
    const { tokens, ...speed } = await page.peer(prompt);
    if (tokens !== prompt.ids.length) options.note(`wllama reads the text of ${prompt.ids.length} tokens as ${tokens}`);
    peers.push(speed);
  }
  const peer = medianOf(peers);
  return ours.map((speeds) => ({ ours: medianOf(speeds), peer, ratio: dividedBy(peer)(medianOf(speeds)) }));
}

/** Every length in a page; none where there is no page to be had. */
async function allInPage(options: EndToEndOptions): Promise<ReadonlyMap<number, ReadonlyArray<AgainstWllama>>> {
  const lengths = options.lengths.filter((tokens) => tokens <= LONGEST_IN_PAGE);
  if (lengths.length === 0) return new Map();
  const opened = await openInPage(options.path, options.promptOf, Math.max(...lengths));
  if ("missing" in opened) {
    options.note(`wllama is left out: ${opened.missing}`);
    return new Map();
  }
  await using page = opened;
  const results = new Map<number, ReadonlyArray<AgainstWllama>>();
  for (const tokens of lengths) results.set(tokens, await againstWllama(page, options.promptOf(tokens), options));
  return results;
}

/** Times each length and policy, `repeats` times in turn with each peer that there is. */
export async function endToEnd(options: EndToEndOptions): Promise<ReadonlyArray<EndToEnd>> {
  const native = await installPeer("llama_cpp", NATIVE, ["llama_cpp.mjs"]);
  if ("missing" in native) options.note(`native llama.cpp is left out: ${native.missing}`);
  const results: Omit<EndToEnd, "wllama">[] = [];
  {
    // Closed before the page opens: its helper thread must not share the two cores.
    await using backend = await orThrow(openWasm({ threads: THREADS }));
    await using model = await orThrow(openModel(backend, options.path));
    for (const tokens of options.lengths) {
      results.push(...await inDeno(model, options.promptOf(tokens), "folder" in native ? native.folder : null, options));
    }
  }
  const pages = await allInPage(options);
  return results.map((result) => ({
    ...result,
    wllama: pages.get(result.tokens)?.[options.policies.indexOf(result.policy)] ?? null,
  }));
}
