/**
 * A compiled module made to run: its memory, its functions, its bytes by name of the build.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { alignment } from "./heap.ts";

/** The two builds of one source. */
export type Build = "fast" | "simd128";

/** A page of linear memory, bytes. */
export const pageBytes = 65536;

/** Functions of the module, see `kernels/wasm/src/exports.rs`. Addresses and sizes in bytes. */
export interface Kernels {
  readonly run: (program: number, table: number, shared: number, threads: number, mayWait: number) => number;
  readonly packedBytes: (type: number, rows: number, cols: number, uses: number) => number;
  readonly pack: (
    type: number,
    rows: number,
    cols: number,
    uses: number,
    source: number,
    target: number,
    first: number,
    count: number,
  ) => number;
  readonly rowInterleave: () => number;
  readonly matmulScratch: (type: number, m: number, n: number, k: number) => number;
  readonly activationFormat: (type: number) => number;
  readonly chooseEightBits: (eight: number) => number;
  readonly attendScratch: (m: number, heads: number, kvHeads: number, keyDim: number, valueDim: number, threads: number) => number;
  readonly newestLikeScratch: (dim: number, threads: number) => number;
  readonly groupVotesScratch: (queries: number, group: number, keyDim: number, threads: number) => number;
  readonly tilesScratch: (dim: number, threads: number) => number;
  readonly transferScratch: (dim: number, threads: number) => number;
  readonly pageScoresScratch: (heads: number, kvHeads: number, page: number, capacity: number) => number;
  readonly keptScores: (slots: number, group: number) => number;
  readonly attendReduceScratch: (queries: number, heads: number, kvHeads: number, keyDim: number, threads: number) => number;
}

/** An instance on the caller's thread. */
export interface Instance {
  readonly build: Build;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  /** First byte above constants and stack, a multiple of 64. */
  readonly heapBase: number;
}

const unusable = (build: Build, because: string): KvError => ({ _tag: "NoDevice", backend: `wasm-${build}`, because });

/** The bytes of a build, decoded from the generated module. */
export async function moduleBytes(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  const { base64 } = build === "fast" ? await import("./_module_fast.ts") : await import("./_module_simd128.ts");
  return decode(base64);
}

/** Older engines lack `Uint8Array.fromBase64`. */
function decode(base64: string): Uint8Array<ArrayBuffer> {
  const hasDecoder: boolean = Reflect.has(Uint8Array, "fromBase64");
  return hasDecoder ? Uint8Array.fromBase64(base64) : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** Why shared memory cannot be used here, or null if it can. */
export function noSharedMemory(): string | null {
  if (typeof SharedArrayBuffer === "undefined" || Reflect.get(globalThis, "crossOriginIsolated") === false) {
    return "there is no SharedArrayBuffer here; a page needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  }
  return null;
}

/** The build a module is: `fast` imports its memory. */
export const buildOf = (module: WebAssembly.Module): Build => WebAssembly.Module.imports(module).length > 0 ? "fast" : "simd128";

/** Compiles bytes; foreign failures become values here. */
export async function compile(build: Build, bytes: Uint8Array<ArrayBuffer>): Promise<E.Either<KvError, WebAssembly.Module>> {
  try {
    return E.right(await WebAssembly.compile(bytes));
  } catch (error) {
    return E.left(unusable(build, `its module does not compile: ${String(error)}`));
  }
}

/** Where the module wants its memory, as wasm-bindgen names it. */
export function imports(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Imports {
  return Object.fromEntries(WebAssembly.Module.imports(module).map(({ module: from, name }) => [from, { [name]: memory }]));
}

/** Instantiates with memory that may grow to `maxBytes`. */
export async function instantiate(module: WebAssembly.Module, maxBytes: number): Promise<E.Either<KvError, Instance>> {
  const build = buildOf(module);
  try {
    const shared = build === "fast"
      ? new WebAssembly.Memory({ initial: 32, maximum: Math.max(32, maxBytes / pageBytes | 0), shared: true })
      : null;
    const { exports } = await WebAssembly.instantiate(module, shared === null ? {} : imports(module, shared));
    const memory = shared ?? exports["memory"];
    if (!(memory instanceof WebAssembly.Memory)) return E.left(unusable(build, "its module has no memory"));
    const heapBase = Math.ceil(call(exports, "kf_heap_base")() / alignment) * alignment;
    return E.right({ build, module, memory, kernels: kernelsOf(exports), heapBase });
  } catch (error) {
    return E.left(unusable(build, `its module does not start: ${String(error)}`));
  }
}

/** An exported function of numbers. Throws if there is none, which only a foreign module can cause. */
function call(exports: WebAssembly.Exports, name: string): (...args: ReadonlyArray<number>) => number {
  const found = exports[name];
  if (typeof found !== "function") throw new TypeError(`no function ${name}`);
  // Results are u32, which Wasm hands over as signed.
  return (...args) => Number(found(...args)) >>> 0;
}

const kernelsOf = (exports: WebAssembly.Exports): Kernels => ({
  run: call(exports, "kf_run"),
  packedBytes: call(exports, "kf_packed_bytes"),
  pack: call(exports, "kf_pack"),
  rowInterleave: call(exports, "kf_row_interleave"),
  matmulScratch: call(exports, "kf_matmul_scratch"),
  activationFormat: call(exports, "kf_activation_format"),
  chooseEightBits: call(exports, "kf_choose_eight_bits"),
  attendScratch: call(exports, "kf_attend_scratch"),
  newestLikeScratch: call(exports, "kf_newest_like_scratch"),
  groupVotesScratch: call(exports, "kf_group_votes_scratch"),
  tilesScratch: call(exports, "kf_tiles_scratch"),
  pageScoresScratch: call(exports, "kf_page_scores_scratch"),
  attendReduceScratch: call(exports, "kf_attend_reduce_scratch"),
  keptScores: call(exports, "kf_kept_scores"),
  transferScratch: call(exports, "kf_transfer_scratch"),
});
