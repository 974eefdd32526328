/**
 * Weights into a backend and out of it again.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Backend, Weight, WeightSource } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";

/** Weights by name. */
export type Weights = Readonly<Record<string, Weight>>;

/** Loads all of these, or none; `progress` hears the share of their bytes that is there. */
export function loadWeights(
  backend: Backend,
  sources: ReadonlyArray<WeightSource>,
  progress: (share: number) => void = () => {},
): E.Either<KvError, Weights> {
  const loaded: Record<string, Weight> = {};
  const all = sources.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  let done = 0;
  for (const source of sources) {
    const weight = backend.loadWeight(source)();
    if (E.isLeft(weight)) {
      freeWeights(backend, loaded);
      return weight;
    }
    loaded[source.name] = weight.right;
    done += source.bytes.byteLength;
    progress(all === 0 ? 1 : done / all);
  }
  return E.right(loaded);
}

/** Gives them back. */
export function freeWeights(backend: Backend, weights: Weights): void {
  for (const weight of Object.values(weights)) backend.freeWeight(weight)();
}
