/**
 * Surrogates that come with kvfold, for the models they were trained on.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { ModelOptions } from "./model.ts";
import { normsDigest } from "./norms.ts";
import { readSafetensors, type Safetensors } from "./safetensors.ts";
import type { ModelFile } from "./types.ts";

/** Weights are only good for the very model they were trained on, whatever it is quantised to. */
interface Shipped {
  /** See {@link normsDigest}. */
  readonly norms: string;
  /** Learned score to file under `surrogates/`. */
  readonly files: Readonly<Record<string, string>>;
  /** File of KVTC's transforms. */
  readonly transforms: string;
}

/** SmolLM2-135M-Instruct. */
const shipped: ReadonlyArray<Shipped> = [{
  norms: "f14ca965dd8c12488f2b2dd6e729f48f37fadc74c53efe93824267d8a2d27c20",
  files: {
    "kvzap-linear": "smollm2-135m-instruct.kvzap-linear.safetensors",
    "kvzap-mlp": "smollm2-135m-instruct.kvzap-mlp.safetensors",
    "wgkv": "smollm2-135m-instruct.wgkv.safetensors",
  },
  transforms: "smollm2-135m-instruct.kvtc.safetensors",
}];

/** Every file that comes along. */
export const shippedFiles: ReadonlyArray<string> = shipped.flatMap(({ files }) => Object.values(files));

const beside = new URL("../surrogates/", import.meta.url);

/** The surrogates that come with kvfold for this model, by learned score, for `openModel`'s option `surrogates`; none for other models.
 * `folder` is where their files lie, if not beside the source: a bundled page serves them from where it likes.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { orThrow } from "../run/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * assertEquals(await orThrow(shippedSurrogates(inductionModel())), {});
 * ```
 */
export const shippedSurrogates =
  (model: Pick<ModelFile, "tensors" | "decodedFrom">, folder: URL = beside): TaskEither<KvError, Readonly<Record<string, Safetensors>>> =>
  async () => {
    const found: Record<string, Safetensors> = {};
    const own = await normsDigest(model);
    for (const [score, name] of Object.entries(shipped.find(({ norms }) => norms === own)?.files ?? {})) {
      const bytes = await readShipped(new URL(name, folder));
      const file = bytes === null ? null : readSafetensors(name, bytes);
      if (file !== null && E.isLeft(file)) return file;
      if (file !== null) found[score] = file.right;
    }
    return E.right(found);
  };

/** The transforms that come with kvfold for this model, as options of `openModel`; none for other models. */
export const shippedTransforms =
  (model: Pick<ModelFile, "tensors" | "decodedFrom">): TaskEither<KvError, Pick<ModelOptions, "transforms">> => async () => {
    const own = await normsDigest(model);
    const file = shipped.find(({ norms }) => norms === own)?.transforms;
    const bytes = file === undefined ? null : await readShipped(new URL(file, beside));
    return E.right(file === undefined || bytes === null ? {} : { transforms: { file, bytes } });
  };

/** Bytes of a file on disk or on the server the source came from; null if it is not there. */
async function readShipped(url: URL): Promise<Uint8Array | null> {
  try {
    if (url.protocol === "file:") return await Deno.readFile(url);
    const response = await fetch(url);
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
  } catch {
    return null;
  }
}
