/// <reference lib="dom" />
/**
 * What the page of the bench runs: kvfold and wllama (npm `@wllama/wllama`, llama.cpp in Wasm), the same file, two threads and an f16
 * cache each. `bench/in_page.ts` bundles it, serves it beside the package and the model, and calls `speedsInPage`.
 * @module
 */
import { openWasm } from "../../backends/wasm/mod.ts";
import { type Model, openModel } from "../../model/mod.ts";
import { parsePolicy } from "../../papers/mod.ts";
import { orThrow } from "../../run/or_throw.ts";
import { DECODED, type Speed, THREADS, timeRun } from "../run_model.ts";

/** The part of wllama that is used here. Tokens cannot be given: its prompts are texts. */
interface Wllama {
  readonly setCompat: (compat: null) => void;
  readonly loadModel: (blobs: ReadonlyArray<Blob>, options: Readonly<Record<string, unknown>>) => Promise<void>;
  readonly getNumThreads: () => number;
  readonly createCompletion: (options: Readonly<Record<string, unknown>>) => Promise<{
    readonly timings: { readonly prompt_n: number; readonly prompt_per_second: number; readonly predicted_per_second: number };
  }>;
}
interface WllamaModule {
  readonly Wllama: new (paths: { readonly default: string }, options: { readonly suppressNativeLog: boolean }) => Wllama;
}

/** A text and its tokens. */
export interface Prompt {
  readonly ids: ReadonlyArray<number>;
  readonly text: string;
}

/** Both, open and warm. */
export interface SpeedsInPage {
  readonly open: (warmUp: Prompt, longest: number) => Promise<void>;
  readonly ours: (policy: string, prompt: Prompt) => Promise<Speed>;
  readonly peer: (prompt: Prompt) => Promise<Speed & { readonly tokens: number }>;
}

const modelFile = async (): Promise<Blob> => await (await fetch("/model.gguf")).blob();

async function openOurs(file: Blob): Promise<Model> {
  const backend = await orThrow(openWasm({ threads: THREADS }));
  if (backend.caps.threads !== THREADS) throw new Error(`kvfold has ${backend.caps.threads} threads, wanted are ${THREADS}`);
  return await orThrow(openModel(backend, new Uint8Array(await file.arrayBuffer())));
}

async function openPeer(file: Blob, longest: number): Promise<Wllama> {
  // Served by the bench, not bundled: the package is installed at bench time.
  const path = "/wllama.js";
  const { Wllama }: WllamaModule = await import(path);
  const peer = new Wllama({ default: "/wllama.wasm" }, { suppressNativeLog: true });
  peer.setCompat(null);
  await peer.loadModel([file], {
    n_threads: THREADS,
    n_gpu_layers: 0,
    n_ctx: longest + DECODED + 64,
    n_batch: 512,
    n_ubatch: 512,
    n_parallel: 1,
    flash_attn: false,
    cache_type_k: "f16",
    cache_type_v: "f16",
  });
  if (peer.getNumThreads() !== THREADS) throw new Error(`wllama has ${peer.getNumThreads()} threads, wanted are ${THREADS}`);
  return peer;
}

/** By llama.cpp's own clock, which leaves out tokenizing and messages between workers. The first new token belongs to the prompt. */
async function timePeer(peer: Wllama, { text }: Prompt): Promise<Speed & { readonly tokens: number }> {
  const { timings } = await peer.createCompletion({
    prompt: text,
    max_tokens: DECODED + 1,
    temperature: 0,
    ignore_eos: true,
    cache_prompt: false,
  });
  return {
    prefillTokensPerSecond: timings.prompt_per_second,
    decodeTokensPerSecond: timings.predicted_per_second,
    tokens: timings.prompt_n,
  };
}

function speedsInPage(): SpeedsInPage {
  let model: Model | null = null;
  let peer: Wllama | null = null;
  const ours = async (policy: string, { ids }: Prompt): Promise<Speed> => {
    if (model === null) throw new Error("kvfold is not open");
    return await timeRun(model, await orThrow(parsePolicy(policy)), ids);
  };
  const theirs = async (prompt: Prompt): Promise<Speed & { readonly tokens: number }> => {
    if (peer === null) throw new Error("wllama is not open");
    return await timePeer(peer, prompt);
  };
  return {
    // The first run of new code is slow in V8, until its optimizing compiler is done: not what is compared.
    open: async (warmUp, longest) => {
      const file = await modelFile();
      model = await openOurs(file);
      peer = await openPeer(file, longest);
      await ours("keepall", warmUp);
      await theirs(warmUp);
    },
    ours,
    peer: theirs,
  };
}

Object.assign(globalThis, { speedsInPage: speedsInPage() });
