/**
 * Opening a model: weights into a backend, tensor by tensor, and everything that runs need beside them.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as R from "fp-ts/Record.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { Backend, Weight, WeightSource } from "../backends/backend.ts";
import { sha256 } from "../cache/container.ts";
import type { KvError } from "../cache/error.ts";
import type { Rope } from "../cache/shape.ts";
import type { LearnedForm } from "../plan/types.ts";
import { closeMemory, type Memory, openMemory } from "../run/mod.ts";
import { digestOf } from "./cache_identity.ts";
import { readModelFile } from "./model_file.ts";
import { checkNorms, normsDigest } from "./norms.ts";
import { closePrograms, openPrograms, type Programs } from "./programs.ts";
import { ropesOf } from "./rope.ts";
import { readSafetensors, type Safetensors } from "./safetensors.ts";
import { readSurrogates, type Surrogate } from "./surrogate.ts";
import { readTransforms, type Transforms } from "./transform.ts";
import type { ModelFile, ModelSpec, ModelTensor, Tokenizer } from "./types.ts";
import { freeWeights, loadWeights } from "./weights.ts";

/** A model whose weights a backend holds. Close it before its backend; closing ends all its sessions. */
export interface Model {
  /** Always `Model`. */
  readonly _tag: "Model";
  /** Architecture and shapes. */
  readonly spec: ModelSpec;
  /** What tells this model from others whatever its weights are quantised to (see {@link normsDigest}). */
  readonly norms: string;
  /** Where weights and caches live. */
  readonly backend: Backend;
  /** Who holds which cache memory: every cache value of this model lives in it. */
  readonly memory: Memory;
  /** By GGUF name. */
  readonly weights: Readonly<Record<string, Weight>>;
  /** Programs kept ready. */
  readonly programs: Programs;
  /** Networks that learned scores may name, each with its form per layer. */
  readonly learned: Readonly<Record<string, ReadonlyArray<LearnedForm>>>;
  /** True where the weights were taken out of their blocks: caches are then others. */
  readonly decoded: boolean;
  /** SHA-256 of the weights as their file has them, and of the networks that learned scores name; computed on first use. */
  readonly digests: () => Promise<{ readonly weights: string; readonly networks: string }>;
  /** Calibrated transforms that KVTC stores caches with, or null. */
  readonly transforms: Transforms | null;
  /** The different rotations of the layers, as programs name them (`rope.{i}`). */
  readonly ropes: ReadonlyArray<Rope>;
  /** The file's tokenizer, built on first use. */
  readonly tokenizer: () => E.Either<KvError, Tokenizer>;
  /** Frees weights, programs and every cache; closing twice does nothing. */
  readonly close: () => Promise<void>;
  /** The same as `close`, for `await using`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Options of {@link openModel}. */
export interface ModelOptions {
  /** Most prepared programs kept, at least 4; default 16. */
  readonly programs?: number;
  /** Weights of the networks that learned scores name, such as `kvzap-mlp`: files with the published names (see {@link readSurrogate}). */
  readonly surrogates?: Readonly<Record<string, Safetensors>>;
  /** A file of calibrated transforms for this model (see {@link readTransforms}): KVTC stores caches with them. */
  readonly transforms?: { readonly file: string; readonly bytes: Uint8Array };
  /** Called with the share of weights loaded, 0 to 1. */
  readonly progress?: (share: number) => void;
}

/** Opens a model from a path, from the bytes of a GGUF file, or from a file that is read already. Left leaves nothing behind in
 * the backend.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { orThrow } from "../run/mod.ts";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { inductionModel } from "./induction.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * assertEquals(model.spec.name, "induction");
 * ```
 */
export const openModel =
  (backend: Backend, source: string | Uint8Array | ModelFile, options: ModelOptions = {}): TaskEither<KvError, Model> => async () => {
    const limit = options.programs ?? 16;
    if (!Number.isSafeInteger(limit) || limit < 4) {
      return E.left({ _tag: "InvalidArgument", argument: "programs", value: String(limit), allowed: "a whole number from 4" });
    }
    const file = await readSource(source);
    if (E.isLeft(file)) return file;
    const surrogates = readSurrogates(file.right.spec.shape, options.surrogates ?? {});
    if (E.isLeft(surrogates)) return surrogates;
    const norms = await normsDigest(file.right);
    const made = checkNorms(file.right.spec.name, norms, Object.values(options.surrogates ?? {}));
    if (E.isLeft(made)) return made;
    const networks = Object.values(surrogates.right).flatMap((s) => s.tensors);
    const tensors = [...file.right.tensors.values(), ...networks];
    const digests = digestsOf(file.right, networks);
    // Before any weight is loaded: a file of another model should not cost that time.
    const transforms = await transformsIn(options, file.right.spec, digests);
    if (E.isLeft(transforms)) return transforms;
    const { spec } = file.right;
    const weights = loadWeights(backend, tensors.map((t): WeightSource => ({ ...t, uses: usesOf(t, spec) })), options.progress);
    const learned = R.map((s: Surrogate) => s.forms)(surrogates.right);
    if (E.isLeft(weights)) return weights;
    return E.right(assemble(backend, file.right, weights.right, learned, { norms, digests, transforms: transforms.right }, limit));
  };

/** The transforms that the options bring, for weights with these digests. */
async function transformsIn(
  { transforms }: ModelOptions,
  { shape }: ModelSpec,
  digests: Model["digests"],
): Promise<E.Either<KvError, Transforms | null>> {
  if (transforms === undefined) return E.right(null);
  const tensors = readSafetensors(transforms.file, transforms.bytes);
  if (E.isLeft(tensors)) return tensors;
  const { weights } = await digests();
  return readTransforms(tensors.right, await sha256(transforms.bytes), shape, weights);
}

async function readSource(source: string | Uint8Array | ModelFile): Promise<E.Either<KvError, ModelFile>> {
  if (typeof source !== "string") return source instanceof Uint8Array ? readModelFile("model", source) : E.right(source);
  try {
    return readModelFile(source, await Deno.readFile(source));
  } catch (thrown) {
    const because = thrown instanceof Error ? thrown.message : String(thrown);
    return E.left({ _tag: "Unavailable", what: `the model file ${source}`, because });
  }
}

/** How the forward pass uses a tensor. */
function usesOf({ name, rows }: ModelTensor, { tiedOutput }: ModelSpec): WeightSource["uses"] {
  if (name === "token_embd.weight") return tiedOutput ? ["embed", "matmul"] : ["embed"];
  return rows === 1 && /(norm\.weight|\.bias|\.k_base|\.b)$/.test(name) ? ["vector"] : ["matmul"];
}

/** Computed once; the tokenizer keeps the file's bytes alive anyway. */
function digestsOf({ tensors, decodedFrom }: ModelFile, networks: ReadonlyArray<ModelTensor>): Model["digests"] {
  const make = async () => ({ weights: await digestOf([...(decodedFrom ?? tensors).values()]), networks: await digestOf(networks) });
  let made: ReturnType<Model["digests"]> | null = null;
  return () => made ??= make();
}

function assemble(
  backend: Backend,
  { spec, tokenizer, decodedFrom }: ModelFile,
  weights: Model["weights"],
  learned: Model["learned"],
  { norms, digests, transforms }: Pick<Model, "norms" | "digests" | "transforms">,
  limit: number,
): Model {
  const memory = openMemory(backend);
  const programs = openPrograms(backend, weights, limit);
  let open = true;
  const close = (): Promise<void> => {
    if (!open) return Promise.resolve();
    open = false;
    closePrograms(programs)();
    closeMemory(memory)();
    freeWeights(backend, weights);
    return Promise.resolve();
  };
  const { ropes } = ropesOf(spec.shape.layers);
  return {
    _tag: "Model",
    spec,
    backend,
    memory,
    weights,
    learned,
    norms,
    decoded: decodedFrom !== undefined,
    digests,
    programs,
    transforms,
    ropes,
    tokenizer,
    close,
    [Symbol.asyncDispose]: close,
  };
}
