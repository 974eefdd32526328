/**
 * The steps of a generation, as plain data.
 * @module
 */
import { bytesOf, rowsKept } from "../cache/bytes.ts";
import type { KvError } from "../cache/error.ts";
import type { KvCache } from "../cache/types.ts";

/** A device that went away in mid-run. */
export type DeviceLost = Extract<KvError, { readonly _tag: "DeviceLost" }>;

/** The cache at a step. */
export interface CacheState {
  /** What the backend holds for it, slack included. */
  readonly bytes: number;
  /** Rows kept, over all layers and heads. */
  readonly rows: number;
}

/** One step of a generation. `bytes` is what it adds to the text (none but for tokens), so a caller can write it unseen. */
export type Step =
  /** A token. `bytes` may end inside a character; `text` holds what became complete. `index` counts from 0. */
  | {
    readonly _tag: "Token";
    readonly id: number;
    readonly index: number;
    readonly bytes: Uint8Array;
    readonly text: string;
    readonly cache: CacheState;
  }
  /** The end: a stop token came, `maxNewTokens` were given, or the signal aborted. `text` is what was left of an incomplete character. */
  | {
    readonly _tag: "Done";
    readonly reason: "stop" | "length" | "aborted";
    readonly tokens: number;
    readonly bytes: Uint8Array;
    readonly text: string;
    readonly cache: CacheState;
  }
  /** The device was lost, and the model that `onDeviceLost` gave reads the prompt and the `tokens` tokens given so far again: what follows
   * comes from `backend`. */
  | {
    readonly _tag: "Resumed";
    readonly because: DeviceLost;
    readonly backend: string;
    readonly tokens: number;
    readonly bytes: Uint8Array;
    readonly text: string;
    readonly cache: CacheState;
  }
  /** The end: something failed. */
  | { readonly _tag: "Failed"; readonly error: KvError; readonly bytes: Uint8Array; readonly text: string; readonly cache: CacheState };

/** Of a cache. */
export const stateOf = (cache: KvCache): CacheState => ({ bytes: bytesOf(cache).total, rows: rowsKept(cache) });
/** Before and after there is a cache. */
export const nothingHeld: CacheState = { bytes: 0, rows: 0 };
const noBytes = (): Uint8Array => new Uint8Array();

/** The end of a text. */
export const done = (
  reason: Extract<Step, { readonly _tag: "Done" }>["reason"],
  tokens: number,
  text: string,
  cache: CacheState,
): Step => ({
  _tag: "Done",
  reason,
  tokens,
  bytes: noBytes(),
  text,
  cache,
});

/** The end by a failure. */
export const failed = (error: KvError, cache: CacheState): Step => ({ _tag: "Failed", error, bytes: noBytes(), text: "", cache });

/** A loss that was overcome. */
export const resumed = (because: DeviceLost, backend: string, tokens: number): Step => ({
  _tag: "Resumed",
  because,
  backend,
  tokens,
  bytes: noBytes(),
  text: "",
  cache: nothingHeld,
});
