/**
 * The most memory that something takes, not only what it holds in the end.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { Model } from "../model/model.ts";

/** Most bytes of buffers at once, as the backend counts them. */
export interface Watch {
  /** Bytes, the most since the watch began or was reset. */
  readonly peak: () => number;
  /** Begins again from what is live now. */
  readonly reset: () => void;
}

/** The same backend, with the largest `buffers` it ever had. */
export function watchedBackend(backend: Backend): Watch & { readonly backend: Backend } {
  let most = backend.liveBytes().buffers;
  const alloc: Backend["alloc"] = (bytes, label) => () => {
    const got = backend.alloc(bytes, label)();
    most = Math.max(most, backend.liveBytes().buffers);
    return got;
  };
  return { backend: { ...backend, alloc }, peak: () => most, reset: () => void (most = backend.liveBytes().buffers) };
}

/** The same model, whose caches are watched. */
export function watchedModel(model: Model): Watch & { readonly model: Model } {
  const { backend, peak, reset } = watchedBackend(model.backend);
  return { model: { ...model, backend, memory: { ...model.memory, backend } }, peak, reset };
}
