/// <reference lib="dom" />
/**
 * The worker: it alone touches backends and models, so that the page stays responsive.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../../backends/backend.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import { type KvError, showError } from "../../cache/error.ts";
import { inductionModel, type Model, type ModelFile, openModel, readModelFile } from "../../model/mod.ts";
import {
  type BackendChoice,
  type BackendName,
  backendNames,
  type ModelSource,
  type Opened,
  type Report,
  type Request,
} from "./messages.ts";
import { readAndAnswer } from "./read.ts";

/** What a worker's scope is used for. */
interface Scope {
  readonly postMessage: (report: Report) => void;
  readonly addEventListener: (type: "message", listener: (event: MessageEvent<Request>) => void) => void;
}

const openers: Readonly<Record<BackendName, TaskEither<KvError, Backend>>> = {
  webgpu: TE.left({ _tag: "NoDevice", backend: "webgpu", because: "this version of kvfold has none" }),
  wasm: openWasm(),
  reference: openReference(),
};

/** Opens every backend once, to say which there are. */
const probe = (): Promise<ReadonlyArray<BackendChoice>> =>
  Promise.all(backendNames.map(async (name): Promise<BackendChoice> => {
    const opened = await openers[name]();
    if (E.isLeft(opened)) return { name, obstacle: showError(opened.left) };
    await opened.right.close();
    return { name, obstacle: null };
  }));

/** The model file that is meant, checked. */
async function readSource(source: ModelSource): Promise<E.Either<KvError, ModelFile>> {
  if (source._tag === "BuiltIn") return E.right(inductionModel());
  const { name } = source.file;
  const bytes = await TE.tryCatch(
    () => source.file.arrayBuffer(),
    (thrown): KvError => ({
      _tag: "Unavailable",
      what: `the file ${name}`,
      because: thrown instanceof Error ? thrown.message : String(thrown),
    }),
  )();
  return E.isLeft(bytes) ? bytes : readModelFile(name, new Uint8Array(bytes.right));
}

/** Opens both, or neither. */
async function open(name: BackendName, source: ModelSource, progress: (share: number) => void): Promise<E.Either<KvError, Model>> {
  const file = await readSource(source);
  if (E.isLeft(file)) return file;
  const backend = await openers[name]();
  if (E.isLeft(backend)) return backend;
  const model = await openModel(backend.right, file.right, { progress })();
  if (E.isLeft(model)) await backend.right.close();
  return model;
}

async function close(model: Model | null): Promise<void> {
  await model?.close();
  await model?.backend.close();
}

const factsOf = ({ backend, spec, weights: _ }: Model): Opened => ({
  backend: backend.name,
  threads: backend.caps.threads,
  model: spec.name,
  layers: spec.shape.layers.length,
  heads: spec.shape.layers.reduce((sum, { kvHeads }) => sum + kvHeads, 0),
  context: spec.shape.context,
  bytes: backend.liveBytes().weights,
});

/** Takes one request after the other; only `Stop` is heard at once, and ends what was asked for before it. */
function serve(scope: Scope): void {
  let model: Model | null = null;
  let stop = new AbortController();
  let turn: Promise<void> = probe().then((backends) => scope.postMessage({ _tag: "Ready", backends }));
  const perform = async (request: Exclude<Request, { readonly _tag: "Stop" }>, signal: AbortSignal): Promise<void> => {
    if (request._tag === "Open") {
      await close(model);
      model = null;
      const opened = await open(request.backend, request.model, (share) => scope.postMessage({ _tag: "Loading", share }));
      if (E.isLeft(opened)) return scope.postMessage({ _tag: "Failed", run: null, sentence: showError(opened.left) });
      model = opened.right;
      return scope.postMessage({ _tag: "Opened", opened: factsOf(model) });
    }
    if (model !== null) await readAndAnswer(model, request.run, request.ask, signal, (report) => scope.postMessage(report));
  };
  const failed = (thrown: unknown): void =>
    scope.postMessage({ _tag: "Failed", run: null, sentence: `the worker failed: ${String(thrown)}` });
  scope.addEventListener("message", ({ data }) => {
    if (data._tag === "Stop") {
      stop.abort();
      stop = new AbortController();
      return;
    }
    const { signal } = stop;
    turn = turn.then(() => perform(data, signal)).catch(failed);
  });
}

serve(globalThis);
