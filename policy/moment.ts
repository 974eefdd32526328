/**
 * When a block acts, and on which layers.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([step, every(16), onExit(128)].map(showMoment), ["step", "every:16", "exit:128"]);
 * assertEquals([allLayers, layersFrom(2), layerRange(-4, -1), layerList([0, 3])].map(showLayers), ["..", "2..", "-4..-1", "[0, 3]"]);
 * ```
 * @module
 */
import type { Layers, Moment } from "./types.ts";

/** When the cache is made, before there are rows. */
export const build: Moment = { _tag: "Build" };
/** Once, after the last chunk of the prompt. */
export const prefillEnd: Moment = { _tag: "PrefillEnd" };
/** After every chunk of prefill and every decoded token. */
export const append: Moment = { _tag: "Append" };
/** After every decoded token. */
export const step: Moment = { _tag: "Step" };
/** After every `steps`-th decoded token. */
export const every = (steps: number): Moment => ({ _tag: "Every", steps });
/** After every chunk of text, not after decoded tokens. */
export const chunk: Moment = { _tag: "Chunk" };
/** When rows leave the window of the newest `window` positions. */
export const onExit = (window: number): Moment => ({ _tag: "OnExit", window });

/** No model has more layers; a range up to this number means "to the last". */
export const maxLayers = 4096;

/** Every layer. */
export const allLayers: Layers = { _tag: "All" };
/** Layers from, from + 1, ..., to - 1; negative numbers count from the end. */
export const layerRange = (from: number, to: number): Layers => ({ _tag: "Range", from, to });
/** This layer and all that follow. */
export const layersFrom = (from: number): Layers => layerRange(from, maxLayers);
/** Exactly these layers. */
export const layerList = (layers: ReadonlyArray<number>): Layers => ({ _tag: "List", layers });

/** A moment as the short text form says it. */
export function showMoment(moment: Moment): string {
  switch (moment._tag) {
    case "Build":
      return "build";
    case "PrefillEnd":
      return "prefill";
    case "Append":
      return "append";
    case "Step":
      return "step";
    case "Every":
      return `every:${moment.steps}`;
    case "OnExit":
      return `exit:${moment.window}`;
    case "Chunk":
      return "chunk";
  }
}

/** Layers as the short text form says them. */
export function showLayers(layers: Layers): string {
  switch (layers._tag) {
    case "All":
      return "..";
    case "Range":
      return `${layers.from === 0 ? "" : layers.from}..${layers.to === maxLayers ? "" : layers.to}`;
    case "List":
      return `[${layers.layers.join(", ")}]`;
  }
}
