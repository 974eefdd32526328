/**
 * The backends that the forward pass is compared on.
 * @module
 */
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../../backends/backend.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import type { KvError } from "../../cache/error.ts";

/** A backend by name. */
export interface NamedBackend {
  readonly name: "reference" | "wasm-simd128" | "wasm-fast";
  readonly open: () => TaskEither<KvError, Backend>;
}

/** The oracle. */
export const reference: NamedBackend = { name: "reference", open: () => openReference() };

/** Both Wasm builds. */
export const wasmBuilds: ReadonlyArray<NamedBackend> = [
  { name: "wasm-simd128", open: () => openWasm({ build: "simd128" }) },
  { name: "wasm-fast", open: () => openWasm({ build: "fast", threads: 2 }) },
];

/** Both Wasm builds, rounding activations as llama.cpp does. */
export const roundingBuilds: ReadonlyArray<NamedBackend> = [
  { name: "wasm-simd128", open: () => openWasm({ build: "simd128", activations: 8 }) },
  { name: "wasm-fast", open: () => openWasm({ build: "fast", threads: 2, activations: 8 }) },
];

/** Every backend of this version. */
export const backends: ReadonlyArray<NamedBackend> = [reference, ...wasmBuilds];
