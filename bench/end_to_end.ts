/**
 * Prefill and decode of SmolLM2-135M Q4_1 side by side with native llama.cpp (npm `node-llama-cpp`, run by Node): the same file,
 * the same tokens, two threads each, f16 cache. Runs alternate, so that both meet the same machine; medians are compared.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { bytesOf } from "../cache/mod.ts";
import { cacheFolder } from "../cli/files.ts";
import { disposeSession, type Model, openModel, prefill, step } from "../model/mod.ts";
import { parsePolicy } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { orThrow } from "../run/mod.ts";
import { summary } from "./time.ts";

/** Tokens per second. */
export interface Speed {
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** One length: ours under a policy, the peer's (null where it cannot run), and ours divided by the peer's. */
export interface EndToEnd {
  readonly tokens: number;
  readonly policy: string;
  readonly ours: Speed;
  readonly peer: Speed | null;
  readonly ratio: Speed | null;
  /** Cache at the end of prefill, bytes. */
  readonly cacheBytes: number;
}

/** The pinned peer. */
const PEER = ["node-llama-cpp@3.22.1", "@node-llama-cpp/linux-x64@3.22.1"];
const DECODED = 32;
const THREADS = 2;

/** The folder where the peer is installed, or why it is not. */
export async function installPeer(): Promise<{ readonly folder: string } | { readonly missing: string }> {
  const folder = `${await orThrow(cacheFolder(Deno.env.get))}/peers`;
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify({ name: "peers", private: true }));
    await Deno.copyFile(new URL("./peers/llama_cpp.mjs", import.meta.url), `${folder}/llama_cpp.mjs`);
    for (const name of PEER) {
      const { success, stderr } = await new Deno.Command("npm", {
        args: ["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", name],
        cwd: folder,
        stdout: "null",
        stderr: "piped",
      }).output();
      if (!success) return { missing: `npm could not install ${name}: ${new TextDecoder().decode(stderr).trim().split("\n").at(-1)}` };
    }
    return { folder };
  } catch (thrown) {
    return { missing: String(thrown) };
  }
}

async function runPeer(folder: string, path: string, ids: ReadonlyArray<number>): Promise<Speed> {
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

async function runOurs(model: Model, policy: Policy, ids: ReadonlyArray<number>): Promise<Speed & { readonly cacheBytes: number }> {
  const start = performance.now();
  let session = await orThrow(prefill(model, policy, { room: DECODED })(ids));
  const prefilled = performance.now();
  const cacheBytes = bytesOf(session.cache).total;
  for (let i = 0; i < DECODED; i++) session = await orThrow(step(ids[i] ?? 0)(session));
  const decoded = performance.now();
  await orThrow(disposeSession(session));
  return {
    prefillTokensPerSecond: ids.length / (prefilled - start) * 1000,
    decodeTokensPerSecond: DECODED / (decoded - prefilled) * 1000,
    cacheBytes,
  };
}

const medianOf = (speeds: ReadonlyArray<Speed>): Speed => ({
  prefillTokensPerSecond: summary(speeds.map((s) => s.prefillTokensPerSecond)).median,
  decodeTokensPerSecond: summary(speeds.map((s) => s.decodeTokensPerSecond)).median,
});

const dividedBy = (peer: Speed) => (ours: Speed): Speed => ({
  prefillTokensPerSecond: ours.prefillTokensPerSecond / peer.prefillTokensPerSecond,
  decodeTokensPerSecond: ours.decodeTokensPerSecond / peer.decodeTokensPerSecond,
});

/** Times each length and policy, `repeats` times in turn with the peer. `folder` null leaves the peer out. */
export async function endToEnd(
  path: string,
  ids: ReadonlyArray<number>,
  lengths: ReadonlyArray<number>,
  policies: ReadonlyArray<string>,
  folder: string | null,
  repeats: number,
): Promise<ReadonlyArray<EndToEnd>> {
  const results: EndToEnd[] = [];
  await using backend = await orThrow(openWasm({ threads: THREADS }));
  await using model = await orThrow(openModel(backend, path));
  for (const tokens of lengths) {
    const prompt = ids.slice(0, tokens);
    const plans = await Promise.all(policies.map((text) => orThrow(parsePolicy(text))));
    const ours = plans.map((): (Speed & { readonly cacheBytes: number })[] => []);
    const peers: Speed[] = [];
    for (let i = 0; i < repeats; i++) {
      for (const [p, policy] of plans.entries()) ours[p]?.push(await runOurs(model, policy, prompt));
      if (folder !== null) peers.push(await runPeer(folder, path, prompt));
    }
    const peer = peers.length > 0 ? medianOf(peers) : null;
    for (const [p, policy] of policies.entries()) {
      const speeds = ours[p] ?? [];
      const speed = medianOf(speeds);
      const ratio = peer === null ? null : dividedBy(peer)(speed);
      results.push({ tokens, policy, ours: speed, peer, ratio, cacheBytes: speeds[0]?.cacheBytes ?? 0 });
    }
  }
  return results;
}
