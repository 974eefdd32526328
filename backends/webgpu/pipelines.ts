/**
 * Pipelines: compiled once per entry point and constants, never per length. Parts of a shader have another form on devices with a feature.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Result } from "../backend.ts";
import { shaders, variants } from "./_shaders.ts";
import type { Feature } from "./device.ts";
import type { Dispatch } from "./kernel.ts";
import type { Store } from "./memory.ts";

/** What tells one pipeline from another. */
const keyOf = ({ shader, entry, constants, isExact }: Dispatch): string =>
  `${shader} ${entry} ${JSON.stringify(constants)}${isExact === true ? " exact" : ""}`;

/** The pipeline of every dispatch, in order; those not at hand are compiled side by side. */
export async function pipelinesOf(store: Store, dispatches: ReadonlyArray<Dispatch>): Promise<Result<ReadonlyArray<GPUComputePipeline>>> {
  const wanted = dispatches.map((dispatch) => {
    const key = keyOf(dispatch);
    const found = store.pipelines.get(key) ?? compile(store, dispatch);
    store.pipelines.set(key, found);
    return { key, found };
  });
  try {
    return E.right(await Promise.all(wanted.map(({ found }) => found)));
  } catch (thrown) {
    // What failed is tried again by whoever asks next: memory may be there then.
    for (const { key, found } of wanted) found.catch(() => store.pipelines.get(key) === found && store.pipelines.delete(key));
    const alive = await store.device.settled();
    const because = String(thrown);
    return E.isLeft(alive)
      ? alive
      : E.left<KvError>({ _tag: "Unsupported", what: "a shader of this version", where: "this device", because });
  }
}

/** How WGSL calls a feature. */
const directives: Readonly<Record<Feature, string>> = { "shader-f16": "enable f16;", "subgroups": "enable subgroups;" };

/** A shader's text for a device with these features; `isExact` leaves out forms that round to f16.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * assert(shaderText("norm", ["subgroups"]).startsWith("enable subgroups;"));
 * assert(!shaderText("norm", []).includes("subgroupAdd"));
 * ```
 */
export function shaderText(name: keyof typeof shaders, features: ReadonlyArray<Feature>, isExact = false): string {
  const used = variants.filter(({ feature, plain }) =>
    features.includes(feature) && !(isExact && feature === "shader-f16") && shaders[name].includes(plain)
  );
  const text = used.reduce<string>((before, { plain, text }) => before.replace(plain, () => text), shaders[name]);
  return [...new Set(used.map(({ feature }) => directives[feature])), text].join("\n");
}

/** Whether a shader has another form on devices with a feature. */
export const hasVariant = (name: keyof typeof shaders, feature: Feature): boolean => shaderText(name, [feature]) !== shaderText(name, []);

function compile({ device: { gpu, facts } }: Store, { shader, entry, constants, isExact }: Dispatch): Promise<GPUComputePipeline> {
  const module = gpu.createShaderModule({ label: shader, code: shaderText(shader, facts.features, isExact) });
  return gpu.createComputePipelineAsync({
    label: `${shader} ${entry}`,
    layout: "auto",
    compute: { module, entryPoint: entry, constants: { ...constants } },
  });
}
