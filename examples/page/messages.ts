/**
 * What the page and its worker say to each other: plain tagged data.
 * @module
 */

/** Backends to choose from, fastest first. */
export const backendNames = ["webgpu", "wasm", "reference"] as const;
export type BackendName = (typeof backendNames)[number];

/** Where the weights come from. */
export type ModelSource = { readonly _tag: "BuiltIn" } | { readonly _tag: "File"; readonly file: File };

/** To the worker. */
export type Request =
  /** Opens a backend and a model on it; what was open before is closed. */
  | { readonly _tag: "Open"; readonly backend: BackendName; readonly model: ModelSource }
  /** Reads the document under a policy, then the question, then answers. */
  | { readonly _tag: "Run"; readonly run: number; readonly ask: Ask }
  /** Ends the run that is under way. */
  | { readonly _tag: "Stop" };

/** One question to one document under one policy. */
export interface Ask {
  /** Short text form. */
  readonly policy: string;
  readonly document: string;
  /** Empty: the document is continued. */
  readonly question: string;
  /** Longest answer, tokens. */
  readonly maxNewTokens: number;
}

/** A backend, and why it cannot be had here, or null. */
export interface BackendChoice {
  readonly name: BackendName;
  readonly obstacle: string | null;
}

/** What was opened. */
export interface Opened {
  /** Full name of the backend. */
  readonly backend: string;
  /** What computes: threads, or the adapter by name, a software one said to be so. */
  readonly hardware: string;
  readonly model: string;
  readonly layers: number;
  /** Key-value heads over all layers. */
  readonly heads: number;
  /** Most tokens the model can see. */
  readonly context: number;
  /** Of the weights. */
  readonly bytes: number;
}

/** How a run stands while the document is read. */
export interface Reading {
  readonly tokens: number;
  /** Rows kept per layer and head. */
  readonly rows: ReadonlyArray<ReadonlyArray<number>>;
  /** Held by the backend for the cache now. */
  readonly bytes: number;
  /** Of them what is no row: recent queries, positions, room that is left. */
  readonly bytesBeside: number;
  /** The whole cache of these tokens in f16. */
  readonly bytesFull: number;
  readonly tokensPerSecond: number;
}

/** Which rows are kept: 1 or 0 for each head (all layers in order) and each position, u8 [heads, tokens]. */
export interface Kept {
  readonly heads: number;
  readonly tokens: number;
  readonly map: Uint8Array<ArrayBuffer>;
}

/** From the worker. */
export type Report =
  | { readonly _tag: "Ready"; readonly backends: ReadonlyArray<BackendChoice> }
  | { readonly _tag: "Loading"; readonly share: number }
  | { readonly _tag: "Opened"; readonly opened: Opened }
  /** What was open is gone, and this took its place: the run that is under way begins again there. */
  | { readonly _tag: "Moved"; readonly sentence: string; readonly opened: Opened }
  /** A run has begun: the text of each token of the document as it is cached. */
  | { readonly _tag: "Started"; readonly run: number; readonly pieces: ReadonlyArray<string> }
  | { readonly _tag: "Reading"; readonly run: number; readonly reading: Reading }
  | { readonly _tag: "Kept"; readonly run: number; readonly kept: Kept }
  | { readonly _tag: "Answering"; readonly run: number; readonly text: string; readonly tokensPerSecond: number | null }
  | { readonly _tag: "Finished"; readonly run: number }
  | { readonly _tag: "Stopped"; readonly run: number }
  /** One sentence. `run` is null where opening failed. `gone`: what was open is of no use any more. */
  | { readonly _tag: "Failed"; readonly run: number | null; readonly sentence: string; readonly gone: boolean };
