/// <reference lib="dom" />
/**
 * The worker: it alone touches backends and models, so that the page stays responsive.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend } from "../../backends/backend.ts";
import { openReference } from "../../backends/reference/mod.ts";
import { openWasm } from "../../backends/wasm/mod.ts";
import { openWebGpu, type WebGpuBackend } from "../../backends/webgpu/mod.ts";
import { type KvError, showError } from "../../cache/error.ts";
import { inductionModel, type Model, type ModelFile, openModel, readModelFile, shippedSurrogates } from "../../model/mod.ts";
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

/** An open backend, and what computes in it. */
interface Machine {
  readonly backend: Backend;
  readonly hardware: string;
}

const threadsOf = (backend: Backend): Machine => {
  const { threads } = backend.caps;
  return { backend, hardware: threads === 1 ? "1 thread" : `${threads} threads` };
};

const adapterOf = (backend: WebGpuBackend): Machine => {
  const { name, isSoftware } = backend.adapter;
  return { backend, hardware: isSoftware ? `${name}, in software` : name };
};

/** How each backend is opened. `bufferBytes` is the largest tensor: a device promises 128 MiB, more must be asked for. */
const openers: Readonly<Record<BackendName, (bufferBytes: number) => TaskEither<KvError, Machine>>> = {
  webgpu: (bufferBytes) => pipe(openWebGpu(bufferBytes > 2 ** 27 ? { bufferBytes } : {}), TE.map(adapterOf)),
  wasm: () => pipe(openWasm(), TE.map(threadsOf)),
  reference: () => pipe(openReference(), TE.map(threadsOf)),
};

/** What runs are made on, and where it came from. */
interface Open {
  readonly model: Model;
  readonly hardware: string;
  readonly name: BackendName;
  readonly source: ModelSource;
}

/** Opens every backend once, to say which there are. */
const probe = (): Promise<ReadonlyArray<BackendChoice>> =>
  Promise.all(backendNames.map(async (name): Promise<BackendChoice> => {
    const opened = await openers[name](0)();
    if (E.isLeft(opened)) return { name, obstacle: showError(opened.left) };
    await opened.right.backend.close();
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
async function open(name: BackendName, source: ModelSource, progress: (share: number) => void): Promise<E.Either<KvError, Open>> {
  const file = await readSource(source);
  if (E.isLeft(file)) return file;
  const surrogates = await shippedSurrogates(file.right, new URL("./", import.meta.url))();
  if (E.isLeft(surrogates)) return surrogates;
  const machine = await openers[name](Math.max(...[...file.right.tensors.values()].map(({ bytes }) => bytes.byteLength)))();
  if (E.isLeft(machine)) return machine;
  const { backend, hardware } = machine.right;
  const model = await openModel(backend, file.right, { progress, surrogates: surrogates.right })();
  if (E.isRight(model)) return E.right({ model: model.right, hardware, name, source });
  await backend.close();
  return model;
}

async function close(open: Open | null): Promise<void> {
  await open?.model.close();
  await open?.model.backend.close();
}

/** The same model where no device can be lost; what was open is closed. */
async function moveToWasm(lost: Open): Promise<E.Either<KvError, Open>> {
  await close(lost);
  return await open("wasm", lost.source, () => undefined);
}

const factsOf = ({ model: { backend, spec }, hardware }: Open): Opened => ({
  backend: backend.name,
  hardware,
  model: spec.name,
  layers: spec.shape.layers.length,
  heads: spec.shape.layers.reduce((sum, { kvHeads }) => sum + kvHeads, 0),
  context: spec.shape.context,
  bytes: backend.liveBytes().weights,
});

/** Takes one request after the other; only `Stop` is heard at once, and ends what was asked for before it. */
function serve(scope: Scope): void {
  let held: Open | null = null;
  let stop = new AbortController();
  let turn: Promise<void> = probe().then((backends) => scope.postMessage({ _tag: "Ready", backends }));
  const perform = async (request: Exclude<Request, { readonly _tag: "Stop" }>, signal: AbortSignal): Promise<void> => {
    if (request._tag === "Open") {
      await close(held);
      held = null;
      const opened = await open(request.backend, request.model, (share) => scope.postMessage({ _tag: "Loading", share }));
      if (E.isLeft(opened)) return scope.postMessage({ _tag: "Failed", run: null, sentence: showError(opened.left), gone: true });
      held = opened.right;
      return scope.postMessage({ _tag: "Opened", opened: factsOf(held) });
    }
    const report = (one: Report): void => scope.postMessage(one);
    const lost = held === null ? null : await readAndAnswer(held.model, request.run, request.ask, signal, report);
    if (lost === null || held === null) return;
    const moved = await moveToWasm(held);
    held = E.isRight(moved) ? moved.right : null;
    const sentence = showError(lost);
    if (E.isLeft(moved)) return report({ _tag: "Failed", run: null, sentence: `${sentence}; ${showError(moved.left)}`, gone: true });
    report({ _tag: "Moved", sentence: `${sentence}; wasm reads the text again`, opened: factsOf(moved.right) });
    await perform(request, signal);
  };
  const failed = (thrown: unknown): void =>
    scope.postMessage({ _tag: "Failed", run: null, sentence: `the worker failed: ${String(thrown)}`, gone: true });
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
