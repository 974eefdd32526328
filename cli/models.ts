/**
 * Models and backends as the command line names them.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { type KvError, showError } from "../cache/error.ts";
import { decodedModel } from "../model/decoded.ts";
import { inductionModel } from "../model/induction.ts";
import { type Model, type ModelOptions, openModel } from "../model/model.ts";
import type { Recovery } from "../model/generate.ts";
import { readModelFile } from "../model/model_file.ts";
import { readSafetensors, type Safetensors } from "../model/safetensors.ts";
import { shippedSurrogates, shippedTransforms } from "../model/shipped.ts";
import type { DeviceLost } from "../model/steps.ts";
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
type BackendName = Exclude<(typeof BACKENDS)[number], "auto">;

/** Options of commands that run a model. */
export const RUNNING: ReadonlyArray<Option> = [
  {
    name: "backend",
    kind: "text",
    value: "NAME",
    about: "reference, wasm, webgpu, or auto: webgpu where there is a graphics card, else wasm, and says why (wasm)",
  },
  {
    name: "decoded",
    kind: "flag",
    about: "take weights out of their blocks into f32: no activation is rounded to 16 bits then; slower, and 6.4 times the memory of Q4_1",
  },
  { name: "threads", kind: "text", value: "N", about: "threads of the wasm backend (the machine's, at most 8)" },
  {
    name: "activations",
    kind: "text",
    value: "BITS",
    about: "bits the wasm backend rounds activations to where weights are in blocks: 16, or 8 as llama.cpp does, which is faster (16)",
  },
  {
    name: "surrogate",
    kind: "list",
    value: "FILE",
    about: "safetensors with weights of KVzap or a gate of Fast KVzip for this model (those that come along)",
  },
  { name: "kvtc", kind: "text", value: "FILE", about: "transforms of kvfold train kvtc for this model (those that come with kvfold)" },
  { name: "memory", kind: "text", value: "MB", about: "most memory the backend may take, 5 to 4000 MB (its own limit)" },
];

/** Those of commands that make such files, and run the model without any. */
export const RUNNING_BARE: ReadonlyArray<Option> = RUNNING.filter(({ name }) => name !== "surrogate" && name !== "kvtc");

/** What `--threads`, `--activations` and `--memory` say. */
interface Size {
  readonly threads: number | null;
  readonly activations: 8 | 16;
  readonly bytes: number | null;
}

/** Opens the backend that `--backend` and {@link Size} ask for. Whatever is taken in its place is said. */
const openBackend = (given: Given, io: Io): TaskEither<KvError, Backend> => async () => {
  const asked = given.text("backend");
  const name = BACKENDS.find((one) => one === asked);
  if (asked !== null && name === undefined) return invalid("--backend", asked, `one of ${BACKENDS.join(", ")}`);
  const size = sizeOf(given);
  if (E.isLeft(size)) return size;
  const instead = (because: string, next: string): void => io.note(`kvfold: ${because}; ${next} is used instead`);
  if (name === "auto") {
    const card = await openCard(size.right)();
    if (E.isRight(card)) return card;
    instead(showError(card.left), "wasm");
  }
  const fixed = name === "auto" ? undefined : name;
  const opened = await openNamed(fixed ?? "wasm", size.right)();
  if (E.isRight(opened) || fixed !== undefined) return opened;
  instead(showError(opened.left), "the reference backend, which is slow,");
  return await openNamed("reference", size.right)();
};

function sizeOf(given: Given): E.Either<KvError, Size> {
  const threads = whole(given, "threads", { from: 1, to: 64 }, null);
  if (E.isLeft(threads)) return threads;
  const bits = given.text("activations") ?? "16";
  if (bits !== "8" && bits !== "16") return invalid("--activations", bits, "8 or 16");
  const activations = bits === "8" ? 8 : 16;
  const memory = whole(given, "memory", { from: 5, to: 4000 }, null);
  return E.map((mb: number | null): Size => ({ threads: threads.right, activations, bytes: mb === null ? null : mb * 1e6 }))(memory);
}

function openNamed(name: BackendName, { threads, activations, bytes }: Size): TaskEither<KvError, Backend> {
  switch (name) {
    case "webgpu":
      return openDevice(bytes);
    case "reference":
      return openReference(bytes === null ? {} : { maxBytes: bytes });
    case "wasm":
      return openWasm({ activations, ...(threads === null ? {} : { threads }), ...(bytes === null ? {} : { maxMemoryBytes: bytes }) });
  }
}

/** WebGPU with buffers as large as its adapter has: a long prompt's keys are more than every device allows. */
const openDevice = (bytes: number | null) => openWebGpu({ bufferBytes: "most", ...(bytes === null ? {} : { maxBytes: bytes }) });

/** WebGPU on hardware: an adapter in software computes on the same processor as Wasm, and slower. */
const openCard = ({ bytes }: Size): TaskEither<KvError, Backend> => async () => {
  const opened = await openDevice(bytes)();
  if (E.isLeft(opened) || !opened.right.adapter.isSoftware) return opened;
  await opened.right.close();
  return E.left({
    _tag: "NoDevice",
    backend: "webgpu",
    because: `its adapter ${opened.right.adapter.name} is software, not a graphics card`,
  });
};

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

/** Opens the model and the backend that the options ask for, uses them, and closes both. `recover` gives the model on Wasm once a graphics
 * device is lost; it says so. */
export const withModel = <A>(
  given: Given,
  io: Io,
  nameOrPath: string,
  use: (model: Model, name: string, recover: NonNullable<Recovery["onDeviceLost"]>) => TaskEither<KvError, A>,
): TaskEither<KvError, A> =>
async () => {
  const read = await readModel(nameOrPath, io)();
  if (E.isLeft(read)) return read;
  const file = given.flag("decoded") ? decodedModel(read.right.file) : read.right.file;
  const surrogates = await surrogatesFor(given, file)();
  if (E.isLeft(surrogates)) return surrogates;
  const transforms = await transformsFor(given, file)();
  if (E.isLeft(transforms)) return transforms;
  await using held = new AsyncDisposableStack();
  const progress = (share: number): void => io.progress("loading the weights", share, 1);
  const openOn = (backend: TaskEither<KvError, Backend>): TaskEither<KvError, Model> =>
    pipe(
      backend,
      TE.chain((open) => openModel(held.use(open), file, { progress, surrogates: surrogates.right, ...transforms.right })),
      TE.map((model) => held.use(model)),
    );
  const model = await openOn(openBackend(given, io))();
  if (E.isLeft(model)) return model;
  const recover = (lost: DeviceLost): TaskEither<KvError, Model> => {
    io.note(`kvfold: ${showError(lost)}; wasm goes on from the tokens so far`);
    return openOn(pipe(TE.fromEither(sizeOf(given)), TE.chain((size) => openNamed("wasm", size))));
  };
  return await use(model.right, read.right.name, recover)();
};
