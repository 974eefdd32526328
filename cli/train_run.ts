/**
 * A training on disk: pairs per prompt and fits per layer, each a file that is written whole, so that a run that was stopped goes on from
 * what is there and comes to the same numbers.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type * as TE from "fp-ts/TaskEither.js";
import { join } from "node:path";
import { collect } from "../calibrate/collect.ts";
import { type Pairs, readPairs } from "../calibrate/pairs.ts";
import { type Kind, type LayerFit, trainLayer } from "../calibrate/train.ts";
import type { KvError } from "../cache/error.ts";
import { chatParts } from "../model/chat_parts.ts";
import { outputGrams } from "../model/gram.ts";
import type { Model } from "../model/model.ts";
import { tensorNumbers, type TensorToWrite, writeSafetensors } from "../model/safetensors.ts";
import { reasonOf, unavailable, writeWhole } from "./files.ts";
import type { Io } from "./io.ts";
import { invalid } from "./options.ts";
import { readTensors } from "./shards.ts";
import type { Job } from "./train_job.ts";
import type { PromptSet } from "./train_texts.ts";

/** What makes pairs: a folder with others is refused. */
export type Identity = Readonly<Record<string, string | number>>;

/** A set's shards. */
export interface Shards extends Omit<PromptSet, "prompts"> {
  readonly paths: ReadonlyArray<string>;
}

/** One layer's fit, with what is known of its targets. */
export interface StoredFit extends LayerFit {
  /** Share of training scores too small for a logarithm, per head. */
  readonly underflowed: ReadonlyArray<number>;
}

/** Whether no training row of a head has a score above the clamp. */
export const isDead = ({ underflowed }: StoredFit, head: number): boolean => (underflowed[head] ?? 0) >= 1;

/** Such heads, and heads in all. */
export function deadHeads(fits: ReadonlyArray<StoredFit>): { readonly dead: number; readonly heads: number } {
  const heads = fits.flatMap((fit) => fit.underflowed.map((_, h) => isDead(fit, h)));
  return { dead: heads.filter((dead) => dead).length, heads: heads.length };
}

/** Makes the folder, or checks that it is of a run with the same arguments. */
export const claim = (out: string, identity: Identity): TE.TaskEither<KvError, void> => async () => {
  const path = join(out, "train.json");
  const text = `${JSON.stringify(identity)}\n`;
  try {
    const info = await Deno.stat(out).catch(() => null);
    if (info !== null && !info.isDirectory) return invalid("--out", `${out}, which is a file`, "a folder, or a name that is free");
    for (const sub of ["pairs", "fits"]) await Deno.mkdir(join(out, sub), { recursive: true });
    const there = await Deno.readTextFile(path).catch((thrown) => {
      if (thrown instanceof Deno.errors.NotFound) return null;
      throw thrown;
    });
    if (there === null) return await writeWhole(path, text)();
    const found = `${out}, a training with the arguments ${there.trim().slice(0, 300)}`;
    return there === text ? E.right(undefined) : invalid("--out", found, `the folder of one with ${text.trim()}, or a new one`);
  } catch (thrown) {
    return E.left(unavailable(out, reasonOf(thrown)));
  }
};

/** Writes the shards that are missing, one per prompt. */
export const collectAll =
  (model: Model, job: Job, sets: ReadonlyArray<PromptSet>, io: Io): TE.TaskEither<KvError, ReadonlyArray<Shards>> => async () => {
    const tokenizer = model.tokenizer();
    if (E.isLeft(tokenizer)) return tokenizer;
    const grams = await outputGrams(model)();
    if (E.isLeft(grams)) return grams;
    const collecting = { parts: chatParts(tokenizer.right), grams: grams.right, samples: job.positions, seed: job.seed };
    const total = sets.reduce((sum, { prompts }) => sum + prompts.length, 0);
    const shards: Shards[] = [];
    let done = 0;
    for (const { name, about, prompts } of sets) {
      const paths = prompts.map((_, i) => join(job.out, "pairs", `${name}-${String(i).padStart(4, "0")}.safetensors`));
      for (const [i, prompt] of prompts.entries()) {
        const path = paths[i] ?? "";
        io.progress("collecting pairs", done++, total);
        const there = await isThere(path, "prompt", prompt.id);
        if (E.isLeft(there)) return there;
        if (there.right) continue;
        const bytes = await collect(model, collecting)(prompt)();
        const wrote = E.isLeft(bytes) ? bytes : await writeWhole(path, bytes.right)();
        if (E.isLeft(wrote)) return wrote;
      }
      shards.push({ name, about, paths });
    }
    return E.right(shards);
  };

/** Whether the file is there; Left if it is, with other words under this key. */
async function isThere(path: string, key: string, wanted: string): Promise<E.Either<KvError, boolean>> {
  if ((await Deno.stat(path).catch(() => null)) === null) return E.right(false);
  const file = await readTensors(path, []);
  if (E.isLeft(file)) return file;
  const found = file.right.metadata.get(key);
  return found === wanted
    ? E.right(true)
    : E.left({ _tag: "InvalidFile", file: path, at: key, found: found ?? "nothing", allowed: wanted });
}

/** The fits of all layers per kind. Pairs of one layer are in memory at a time. */
export const fitAll = (
  model: Model,
  out: string,
  kinds: ReadonlyArray<Kind>,
  sets: ReadonlyArray<Shards>,
  io: Io,
): TE.TaskEither<KvError, ReadonlyArray<ReadonlyArray<StoredFit>>> =>
async () => {
  const layers = model.spec.shape.layers.length;
  const fits = kinds.map((): StoredFit[] => []);
  for (let l = 0; l < layers; l++) {
    let pairs: ReadonlyArray<Pairs> | null = null;
    for (const [k, kind] of kinds.entries()) {
      io.progress(`fitting ${kind._tag === "Mlp" ? "MLPs" : "linear networks"}`, l * kinds.length + k, layers * kinds.length);
      const path = join(out, "fits", `${kind._tag.toLowerCase()}-${String(l).padStart(3, "0")}.safetensors`);
      const recipe = JSON.stringify([kind, sets.map(({ name, paths }) => [name, paths.length])]);
      const stored = await readFit(path, recipe);
      if (stored !== null) {
        fits[k]?.push(stored);
        continue;
      }
      const read: E.Either<KvError, ReadonlyArray<Pairs>> = pairs === null ? await pairsOf(sets, l) : E.right(pairs);
      if (E.isLeft(read)) return read;
      pairs = read.right;
      const [train, ...held] = pairs;
      if (train === undefined) continue;
      const made = await trainLayer(model.backend, kind, train, held, `layer ${l}`);
      if (E.isLeft(made)) return made;
      const fit: StoredFit = { ...made.right, underflowed: train.underflowed };
      const bytes = fitBytes(fit, recipe);
      const wrote = E.isLeft(bytes) ? bytes : await writeWhole(path, bytes.right)();
      if (E.isLeft(wrote)) return wrote;
      fits[k]?.push(fit);
    }
  }
  return E.right(fits);
};

async function pairsOf(sets: ReadonlyArray<Shards>, layer: number): Promise<E.Either<KvError, ReadonlyArray<Pairs>>> {
  const all: Pairs[] = [];
  for (const { paths } of sets) {
    const pairs = await readPairs(paths, readTensors, layer);
    if (E.isLeft(pairs)) return pairs;
    all.push(pairs.right);
  }
  return E.right(all);
}

const PREDICTED = "predicted";
type Figures = Omit<StoredFit, "tensors" | "predicted">;

/** Tensors as they will be stored, but in f32; predictions beside them, the rest as text. */
const fitBytes = ({ tensors, predicted, ...figures }: StoredFit, recipe: string): E.Either<KvError, Uint8Array> =>
  writeSafetensors(
    [
      ...tensors.map((t): TensorToWrite => ({ ...t, type: "F32" })),
      { name: PREDICTED, type: "F32", shape: [predicted.length], numbers: predicted },
    ],
    new Map([["recipe", recipe], ["figures", JSON.stringify(figures)]]),
  );

/** A stored fit of this recipe; null where there is none, or where the file is not as it was written. */
async function readFit(path: string, recipe: string): Promise<StoredFit | null> {
  const names = ["weight", "bias", "0.weight", "0.bias", "2.weight", "2.bias"];
  const file = await readTensors(path, [...names, PREDICTED]);
  if (E.isLeft(file) || file.right.metadata.get("recipe") !== recipe) return null;
  const predicted = file.right.tensors.get(PREDICTED);
  if (predicted === undefined) return null;
  const figures = figuresOf(file.right.metadata.get("figures") ?? "");
  const tensors = names.flatMap((name): ReadonlyArray<TensorToWrite> => {
    const tensor = file.right.tensors.get(name);
    return tensor === undefined
      ? []
      : [{ name, type: /^\d/.test(name) ? "F16" : "F32", shape: tensor.shape, numbers: tensorNumbers(tensor) }];
  });
  return figures === null ? null : { ...figures, tensors, predicted: tensorNumbers(predicted) };
}

const isNumbers = (value: unknown): value is ReadonlyArray<number> => Array.isArray(value) && value.every((x) => typeof x === "number");

function figuresOf(text: string): Figures | null {
  const value: unknown = E.getOrElse((): unknown => null)(E.tryCatch((): unknown => JSON.parse(text), () => null));
  if (typeof value !== "object" || value === null) return null;
  const { heldOut, trained, losses, underflowed }: Readonly<Record<string, unknown>> = { ...value };
  const sets: unknown = heldOut;
  if (!Array.isArray(sets) || !sets.every(isNumbers) || !isNumbers(trained) || !isNumbers(losses) || !isNumbers(underflowed)) return null;
  return { heldOut: sets, trained, losses, underflowed };
}
