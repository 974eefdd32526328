/**
 * Pipelines: compiled once per entry point and constants, never per length.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Result } from "../backend.ts";
import { shaders } from "./_shaders.ts";
import type { Dispatch } from "./kernel.ts";
import type { Store } from "./memory.ts";

/** What tells one pipeline from another. */
const keyOf = ({ shader, entry, constants }: Dispatch): string => `${shader} ${entry} ${JSON.stringify(constants)}`;

/** The pipeline of every dispatch, in order; those not at hand are compiled side by side. */
export async function pipelinesOf(store: Store, dispatches: ReadonlyArray<Dispatch>): Promise<Result<ReadonlyArray<GPUComputePipeline>>> {
  const wanted = dispatches.map((dispatch) => {
    const key = keyOf(dispatch);
    const found = store.pipelines.get(key) ?? compile(store, dispatch);
    store.pipelines.set(key, found);
    return found;
  });
  try {
    return E.right(await Promise.all(wanted));
  } catch (thrown) {
    const alive = await store.device.settled();
    const because = String(thrown);
    return E.isLeft(alive)
      ? alive
      : E.left<KvError>({ _tag: "Unsupported", what: "a shader of this version", where: "this device", because });
  }
}

function compile({ device: { gpu } }: Store, { shader, entry, constants }: Dispatch): Promise<GPUComputePipeline> {
  const module = gpu.createShaderModule({ label: shader, code: shaders[shader] });
  return gpu.createComputePipelineAsync({
    label: `${shader} ${entry}`,
    layout: "auto",
    compute: { module, entryPoint: entry, constants: { ...constants } },
  });
}
