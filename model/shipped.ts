/**
 * Surrogates that come with kvfold, for the models they were trained on.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { ModelOptions } from "./model.ts";
import { readSafetensors, type Safetensors } from "./safetensors.ts";
import type { ModelFile, ModelSpec } from "./types.ts";

/** Weights are only good for the very model they were trained on: its name in the file and its sizes tell it. */
interface Shipped {
  readonly name: string;
  readonly architecture: ModelSpec["architecture"];
  readonly layers: number;
  readonly hidden: number;
  readonly vocab: number;
  /** Learned score to file under `surrogates/`. */
  readonly files: Readonly<Record<string, string>>;
  /** File of KVTC's transforms. */
  readonly transforms: string;
}

const shipped: ReadonlyArray<Shipped> = [{
  name: "Smollm2 135M 8k Lc100K Mix1 Ep2",
  architecture: "llama",
  layers: 30,
  hidden: 576,
  vocab: 49152,
  files: {
    "kvzap-linear": "smollm2-135m-instruct.kvzap-linear.safetensors",
    "kvzap-mlp": "smollm2-135m-instruct.kvzap-mlp.safetensors",
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
  ({ spec }: Pick<ModelFile, "spec">, folder: URL = beside): TaskEither<KvError, Readonly<Record<string, Safetensors>>> => async () => {
    const found: Record<string, Safetensors> = {};
    for (const [score, name] of Object.entries(shipped.find((s) => isFor(s, spec))?.files ?? {})) {
      const bytes = await readShipped(new URL(name, folder));
      const file = bytes === null ? null : readSafetensors(name, bytes);
      if (file !== null && E.isLeft(file)) return file;
      if (file !== null) found[score] = file.right;
    }
    return E.right(found);
  };

/** The transforms that come with kvfold for this model, as options of `openModel`; none for other models. */
export const shippedTransforms = ({ spec }: Pick<ModelFile, "spec">): TaskEither<KvError, Pick<ModelOptions, "transforms">> => async () => {
  const file = shipped.find((s) => isFor(s, spec))?.transforms;
  const bytes = file === undefined ? null : await readShipped(new URL(file, beside));
  return E.right(file === undefined || bytes === null ? {} : { transforms: { file, bytes } });
};

const isFor = ({ name, architecture, layers, hidden, vocab }: Shipped, { shape, ...spec }: ModelSpec): boolean =>
  spec.name === name && spec.architecture === architecture && shape.layers.length === layers && shape.hidden === hidden &&
  shape.vocab === vocab;

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
