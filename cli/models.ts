/**
 * Models and backends as the command line names them.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { type KvError, showError } from "../cache/error.ts";
import { inductionModel } from "../model/induction.ts";
import { type Model, type ModelOptions, openModel } from "../model/model.ts";
import { readModelFile } from "../model/model_file.ts";
import { readSafetensors, type Safetensors } from "../model/safetensors.ts";
import { shippedSurrogates, shippedTransforms } from "../model/shipped.ts";
import { surrogateName } from "../model/surrogate.ts";
import type { ModelFile } from "../model/types.ts";
import { resolveModel } from "./catalogue.ts";
import { reasonOf, unavailable } from "./files.ts";
import type { Io } from "./io.ts";
import { type Given, invalid, type Option, whole } from "./options.ts";

/** A model under the name it was asked for. */
export interface NamedModel {
  readonly name: string;
  readonly file: ModelFile;
}

/** Reads and checks a model, fetching it first if the catalogue has it. */
export const readModel = (nameOrPath: string, io: Io): TaskEither<KvError, NamedModel> => async () => {
  const source = await resolveModel(nameOrPath, io)();
  io.clear();
  if (E.isLeft(source)) return source;
  const { name } = source.right;
  if (source.right._tag === "Induction") return E.right({ name, file: inductionModel() });
  const bytes = await readBytes(source.right.path)();
  if (E.isLeft(bytes)) return bytes;
  const file = readModelFile(name, bytes.right);
  return E.isLeft(file) ? file : E.right({ name, file: file.right });
};

/** A whole file. */
export const readBytes = (path: string): TaskEither<KvError, Uint8Array> =>
  TE.tryCatch(() => Deno.readFile(path), (thrown) => unavailable(path, reasonOf(thrown)));

const BACKENDS = ["auto", "reference", "wasm", "webgpu"] as const;
type BackendName = (typeof BACKENDS)[number];

/** Options of commands that run a model. */
export const RUNNING: ReadonlyArray<Option> = [
  { name: "backend", kind: "text", value: "NAME", about: "reference, wasm, webgpu, or auto: wasm where it opens (auto)" },
  { name: "threads", kind: "text", value: "N", about: "threads of the wasm backend (the machine's, at most 8)" },
  { name: "surrogate", kind: "list", value: "FILE", about: "safetensors with KVzap weights for this model (those that come with kvfold)" },
  { name: "kvtc", kind: "text", value: "FILE", about: "transforms of kvfold train kvtc for this model (those that come with kvfold)" },
  { name: "memory", kind: "text", value: "MB", about: "most memory the backend may take, 5 to 4000 MB (its own limit)" },
];

/** Opens the backend that `--backend`, `--threads` and `--memory` ask for. */
const openBackend = (given: Given, io: Io): TaskEither<KvError, Backend> => async () => {
  const asked = given.text("backend") ?? "auto";
  const name = BACKENDS.find((one) => one === asked);
  if (name === undefined) return invalid("--backend", asked, `one of ${BACKENDS.join(", ")}`);
  const threads = whole(given, "threads", { from: 1, to: 64 }, null);
  if (E.isLeft(threads)) return threads;
  const memory = whole(given, "memory", { from: 5, to: 4000 }, null);
  if (E.isLeft(memory)) return memory;
  const bytes = memory.right === null ? null : memory.right * 1e6;
  const opened = await openNamed(name, threads.right, bytes)();
  if (name !== "auto" || E.isRight(opened)) return opened;
  io.note(`kvfold: ${showError(opened.left)}; the reference backend, which is slow, is used instead`);
  return await openNamed("reference", null, bytes)();
};

function openNamed(name: BackendName, threads: number | null, bytes: number | null): TaskEither<KvError, Backend> {
  switch (name) {
    case "webgpu":
      return openWebGpu(bytes === null ? {} : { maxBytes: bytes });
    case "reference":
      return openReference(bytes === null ? {} : { maxBytes: bytes });
    case "wasm":
    case "auto":
      return openWasm({ ...(threads === null ? {} : { threads }), ...(bytes === null ? {} : { maxMemoryBytes: bytes }) });
  }
}

/** Weights that come with kvfold for this model, and over them those of `--surrogate`. */
const surrogatesFor = (given: Given, model: ModelFile): TaskEither<KvError, Readonly<Record<string, Safetensors>>> => async () => {
  const own = await shippedSurrogates(model)();
  if (E.isLeft(own)) return own;
  const found = { ...own.right };
  for (const path of given.list("surrogate")) {
    const bytes = await readBytes(path)();
    const file = E.isLeft(bytes) ? bytes : readSafetensors(path, bytes.right);
    if (E.isLeft(file)) return file;
    found[surrogateName(file.right)] = file.right;
  }
  return E.right(found);
};

/** The transforms of `--kvtc`, or those that come with kvfold where something may ask for them: checking that they are of this very model
 * takes a while. */
const transformsFor = (given: Given, model: ModelFile): TaskEither<KvError, Pick<ModelOptions, "transforms">> => {
  const file = given.text("kvtc");
  if (file !== null) return TE.map((bytes: Uint8Array) => ({ transforms: { file, bytes } }))(readBytes(file));
  const texts = [given.text("policy"), given.text("save-as"), ...given.list("policy"), ...given.list("policies")];
  const asked = given.text("load-cache") !== null || texts.some((text) => text?.includes("kvtc") === true);
  return asked ? shippedTransforms(model) : TE.right({});
};

/** Opens the model and the backend that the options ask for, uses them, and closes both. */
export const withModel =
  <A>(given: Given, io: Io, nameOrPath: string, use: (model: Model, name: string) => TaskEither<KvError, A>): TaskEither<KvError, A> =>
  async () => {
    const read = await readModel(nameOrPath, io)();
    if (E.isLeft(read)) return read;
    const surrogates = await surrogatesFor(given, read.right.file)();
    if (E.isLeft(surrogates)) return surrogates;
    const opened = await openBackend(given, io)();
    if (E.isLeft(opened)) return opened;
    await using backend = opened.right;
    const progress = (share: number): void => io.progress("loading the weights", share, 1);
    const transforms = await transformsFor(given, read.right.file)();
    if (E.isLeft(transforms)) return transforms;
    const loaded = await openModel(backend, read.right.file, { progress, surrogates: surrogates.right, ...transforms.right })();
    if (E.isLeft(loaded)) return loaded;
    await using model = loaded.right;
    return await use(model, read.right.name)();
  };
