/**
 * Whether this machine can compute on WebGPU, said once and aloud.
 * @module
 */

const adapter = await globalThis.navigator?.gpu?.requestAdapter() ?? null;

/** True where there is no graphics adapter, not even one in software: tests of WebGPU are then skipped by name. */
export const withoutAdapter: boolean = adapter === null;

const words = [adapter?.info.vendor, adapter?.info.architecture, adapter?.info.device, adapter?.info.description];

/** The adapter that tests run on. */
export const adapterName: string = words.filter((word) => word !== undefined && !/^\d*$/.test(word)).join(" ");

/** Optional features that it offers. */
export const adapterFeatures: ReadonlySet<string> = new Set(adapter?.features ?? []);

console.log(withoutAdapter ? "SKIPPED: tests of WebGPU, no graphics adapter here (see .ci/run)" : `WebGPU adapter: ${adapterName}`);
