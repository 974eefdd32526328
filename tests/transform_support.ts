/**
 * The embedded model with transforms of its own, for tests of KVTC.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { calibrateTransforms } from "../calibrate/transform.ts";
import { inductionModel, type Model, openModel, writeSafetensors } from "../model/mod.ts";
import { orThrow } from "../run/mod.ts";
import { begin, randomBytes } from "./model_support.ts";

/** Transforms of the embedded model with all components, calibrated on a few texts; `note` makes another file of them. */
export const transforms = await (async () => {
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using model = await orThrow(openModel(backend, inductionModel()));
  const prompts = [1, 2, 3].map((seed) => [...begin("one fish, two fish, red=7341, green=9920, blue=2206, "), ...randomBytes(seed, 260)]);
  const tensors = await orThrow(calibrateTransforms(model, { prompts, layersPerGroup: 1, rank: 1, samples: 60 }));
  const { weights } = await model.digests();
  const about = [["kind", "kvtc"], ["weights", weights], ["layersPerGroup", "1"]] as const;
  return (note: string): Promise<Uint8Array> => orThrow(writeSafetensors(tensors, new Map([...about, ["note", note]])));
})();

/** The model with them. */
export const openTransformed = async (backend: Backend, note = "first"): Promise<Model> =>
  await orThrow(openModel(backend, inductionModel(), { transforms: { file: "t.safetensors", bytes: await transforms(note) } }));

/** One test on the reference and on both builds of Wasm. */
export function onEveryTransformed(name: string, body: (model: Model) => Promise<void>): void {
  const backends = [["reference", openReference()], ["simd128", openWasm({ build: "simd128" })], [
    "wasm",
    openWasm({ threads: 1 }),
  ]] as const;
  for (const [called, opened] of backends) {
    Deno.test(`${name} (${called})`, async () => {
      await using backend = await orThrow(opened);
      await using model = await openTransformed(backend);
      await body(model);
    });
  }
}
