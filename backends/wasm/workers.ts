/**
 * Helper threads of the `fast` build: module workers made from inline text (nothing is fetched or read), one instance each on
 * the shared memory, asleep between runs.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { imports, type Instance } from "./instance.ts";

/** Bytes of the state that threads share, see `Shared` in `kernels/wasm/src/team.rs`. */
export const sharedBytes = 256;

/** Stack of a helper, bytes; kernels keep tiles of a few KiB on it. */
export const stackBytes = 65536;

/** Words of the shared state that JavaScript writes. */
const word = { generation: 0, stop: 1, failed: 2, arrived: 16, phase: 32 } as const;

/** The helpers of one backend. */
export interface Helpers {
  /** Address of the shared state. */
  readonly shared: number;
  /** Tells every thread that one died: barriers give up. */
  readonly fail: () => void;
  /** Why a helper died, or null. */
  readonly failure: () => string | null;
  readonly close: () => void;
}

/** What a helper is told; structured clone carries all of it. */
interface Task {
  readonly module: WebAssembly.Module;
  readonly imports: WebAssembly.Imports;
  readonly shared: number;
  readonly stackTop: number;
  readonly thread: number;
  readonly threads: number;
}

/** A worker of the host, whichever kind it has. */
interface Helper {
  readonly post: (task: Task) => void;
  readonly onMessage: (listener: (message: unknown) => void) => void;
  readonly onError: (listener: (error: unknown) => void) => void;
  readonly end: () => void;
}

/** The text of a helper. `port` is the worker's scope, or Node's parent port. */
const helperText = `
const run = async (task, port) => {
  try {
    const { exports } = await WebAssembly.instantiate(task.module, task.imports);
    exports.__stack_pointer.value = task.stackTop;
    port.postMessage("ready");
    exports.kf_worker(task.shared, task.thread, task.threads);
  } catch (error) {
    port.postMessage({ error: String(error) });
    const memory = Object.values(Object.values(task.imports)[0])[0];
    const state = new Int32Array(memory.buffer, task.shared, 64);
    Atomics.store(state, ${word.failed}, 1);
    Atomics.notify(state, ${word.generation});
    Atomics.notify(state, ${word.phase});
  }
};`;

const webText = `${helperText}\nself.onmessage = ({ data }) => run(data, self);\n`;
const nodeText =
  `${helperText}\nconst { parentPort } = require("node:worker_threads");\nparentPort.once("message", (data) => run(data, parentPort));\n`;

/** Node gives its workers by another module; only what is used of it is described. */
interface NodeWorkers {
  readonly Worker: new (text: string, options: { readonly eval: true }) => {
    readonly postMessage: (message: unknown) => void;
    readonly on: (event: string, listener: (value: unknown) => void) => void;
    readonly terminate: () => unknown;
  };
}

const isNodeWorkers = (value: unknown): value is NodeWorkers => typeof value === "object" && value !== null && "Worker" in value;

/** `node:worker_threads`, found without an import that bundlers for browsers would trip over. */
function nodeWorkers(): NodeWorkers | null {
  const host: unknown = Reflect.get(globalThis, "process");
  if (typeof host !== "object" || host === null) return null;
  const builtin: unknown = Reflect.get(host, "getBuiltinModule");
  const found: unknown = typeof builtin === "function" ? builtin.call(host, "node:worker_threads") : null;
  return isNodeWorkers(found) ? found : null;
}

function webHelper(): Helper {
  const url = URL.createObjectURL(new Blob([webText], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const end = (): void => {
    worker.terminate();
    URL.revokeObjectURL(url);
  };
  return {
    post: (task) => worker.postMessage(task),
    onMessage: (listener) => worker.addEventListener("message", (event: MessageEvent<unknown>) => listener(event.data)),
    onError: (listener) =>
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        listener(event.message);
      }),
    end,
  };
}

function nodeHelper({ Worker }: NodeWorkers): Helper {
  const worker = new Worker(nodeText, { eval: true });
  return {
    post: (task) => worker.postMessage(task),
    onMessage: (listener) => worker.on("message", listener),
    onError: (listener) => worker.on("error", listener),
    end: () => void worker.terminate(),
  };
}

/** A helper, or null where the host has no workers. */
function openHelper(): Helper | null {
  if (typeof Worker !== "undefined") return webHelper();
  const node = nodeWorkers();
  return node === null ? null : nodeHelper(node);
}

/** Milliseconds a helper may take to start. */
const patience = 20_000;

/** Starts `threads - 1` helpers. `region` holds the shared state, zeroed, then their stacks in order. */
export async function openHelpers(instance: Instance, region: number, threads: number): Promise<E.Either<KvError, Helpers>> {
  const helpers: Helper[] = [];
  const reasons: string[] = [];
  const state = new Int32Array(instance.memory.buffer, region, sharedBytes / 4);
  const raise = (flag: number): void => {
    Atomics.store(state, flag, 1);
    Atomics.add(state, word.generation, 1);
    Atomics.notify(state, word.generation);
    Atomics.notify(state, word.phase);
  };
  const close = (): void => {
    if (helpers.length > 0) raise(word.stop);
    for (const helper of helpers.splice(0)) helper.end();
  };
  const pools = { shared: region, fail: () => raise(word.failed), failure: () => reasons[0] ?? null, close };
  for (let thread = 1; thread < threads; thread++) {
    try {
      const helper = openHelper();
      if (helper === null) reasons.push("there are no workers here");
      else helpers.push(helper);
    } catch (error) {
      reasons.push(String(error));
    }
  }
  if (reasons.length === 0) {
    await Promise.all(helpers.map((helper, i) => start(helper, { instance, region, thread: i + 1, threads }, reasons)));
  }
  if (reasons.length === 0) return E.right(pools);
  close();
  return E.left({ _tag: "NoDevice", backend: "wasm-fast", because: `a helper thread does not start: ${reasons[0]}` });
}

/** Posts the task and waits for "ready"; a reason is added if it never comes, or if the helper dies later. */
function start(
  helper: Helper,
  { instance, region, thread, threads }: {
    readonly instance: Instance;
    readonly region: number;
    readonly thread: number;
    readonly threads: number;
  },
  reasons: string[],
): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(`no answer in ${patience} ms`), patience);
    const settle = (reason: string | null): void => {
      clearTimeout(timer);
      if (reason !== null) reasons.push(reason);
      resolve();
    };
    helper.onMessage((message) => settle(message === "ready" ? null : String(Reflect.get(Object(message), "error"))));
    helper.onError((error) => settle(String(error)));
    const { module, memory } = instance;
    helper.post({
      module,
      imports: imports(module, memory),
      shared: region,
      stackTop: region + sharedBytes + thread * stackBytes,
      thread,
      threads,
    });
  });
}

/** Helpers of a backend that has none. `region` is where the shared state lies. */
export const noHelpers = (region: number): Helpers => ({ shared: region, fail: () => {}, failure: () => null, close: () => {} });

/** May this thread sleep? A browser's main thread must spin. */
export function mayWait(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}
