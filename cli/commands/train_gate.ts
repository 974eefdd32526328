/**
 * `kvfold train gate`: trains the gates that Write-Gated KV admits rows by, for a model of one's own.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { GATE_RECIPE, type GateQuality, gateTokens, trainGates } from "../../calibrate/gate_train.ts";
import type { KvError } from "../../cache/error.ts";
import type { Model } from "../../model/model.ts";
import { NORMS } from "../../model/norms.ts";
import { readSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { readSurrogate } from "../../model/surrogate.ts";
import type { Command } from "../command.ts";
import { writeWhole } from "../files.ts";
import type { Io } from "../io.ts";
import { RUNNING_BARE, withModel } from "../models.ts";
import { all, decimal, type Given, invalid, MANY, required, whole } from "../options.ts";
import { MODEL, TRAIN_DOCUMENTS } from "../shared.ts";
import { grouped, wrapped } from "../table.ts";
import { textsFor } from "../train_texts.ts";

/** Queries per text. */
const QUERIES = 12;
const { inner, epochs, lambda, window, seed } = GATE_RECIPE;

/** The command. */
export const trainGateCommand: Command = {
  name: "train",
  subjects: ["gate"],
  summary: "trains the gates that wgkv admits rows by, for any model that loads",
  about:
    "Reads texts, and trains for every KV head a small gate that sees a row's key and says whether the row may stay once it leaves the window: " +
    "attention of that head under its gate must stay what it is without, and open gates cost. The same seed gives the same file on one backend.",
  options: [
    MODEL,
    { name: "out", kind: "text", value: "FILE", about: "where the gates go" },
    TRAIN_DOCUMENTS,
    { name: "texts", kind: "text", value: "N", about: "texts to train on (3)" },
    { name: "held-out", kind: "text", value: "N", about: "texts to judge by (1)" },
    { name: "tokens", kind: "text", value: "N", about: "of each text (1024)" },
    { name: "window", kind: "text", value: "N", about: `newest rows that need no gate (${window})` },
    { name: "inner", kind: "text", value: "N", about: `units of a gate (${inner})` },
    { name: "epochs", kind: "text", value: "N", about: `passes over the texts (${epochs})` },
    { name: "lambda", kind: "text", value: "X", about: `what an open gate costs; more keeps fewer rows (${lambda})` },
    { name: "seed", kind: "text", value: "N", about: `of texts and first weights (${seed})` },
    ...RUNNING_BARE,
  ],
  examples: [{
    line: "train gate --model SmolLM2-135M-Instruct --out smollm2.wgkv.safetensors",
    does: "trains; then compare --surrogate smollm2.wgkv.safetensors --policy 'wgkv(0.1)' prunes with the gates",
  }],
  run: (given, io) => async () => {
    const asked = askedOf(given);
    if (E.isLeft(asked)) return asked;
    const { model: name, out } = asked.right;
    return await withModel(given, io, name, (model, called) => async () => {
      const made = await trained(model, called, asked.right, io);
      if (E.isLeft(made)) return made;
      const wrote = await writeWhole(out, made.right.bytes)();
      if (E.isLeft(wrote)) return wrote;
      io.clear();
      const { heads, tokens } = made.right;
      io.out(given.flag("json") ? `${JSON.stringify({ out, model: called, tokens, heads })}\n` : said(out, tokens, heads));
      return E.right(undefined);
    })();
  },
};

type Asked =
  & Readonly<Record<"texts" | "heldOut" | "tokens" | "window" | "inner" | "epochs" | "lambda" | "seed", number>>
  & Readonly<Record<"model" | "out", string>>
  & { readonly documents: string | null };

function askedOf(given: Given): E.Either<KvError, Asked> {
  const asked = all({
    model: required(given, "model", MODEL.about),
    out: required(given, "out", "a file to write"),
    documents: E.right(given.text("documents")),
    texts: whole(given, "texts", { from: 1, to: 1000 }, 3),
    heldOut: whole(given, "held-out", { from: 1, to: 1000 }, 1),
    tokens: whole(given, "tokens", { from: 2, to: 65_536 }, 1024),
    window: whole(given, "window", { from: 1, to: 65_535 }, window),
    inner: whole(given, "inner", { from: 1, to: 1024 }, inner),
    epochs: whole(given, "epochs", { from: 1, to: 1000 }, epochs),
    lambda: decimal(given, "lambda", { from: 0, to: 100 }, lambda),
    seed: whole(given, "seed", { from: 0, to: MANY }, seed),
  });
  if (E.isLeft(asked) || asked.right.tokens > asked.right.window) return asked;
  return invalid("--tokens", String(asked.right.tokens), `more than the window of ${asked.right.window} tokens`);
}

interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly tokens: number;
  readonly heads: ReadonlyArray<GateQuality>;
}

async function trained(model: Model, called: string, asked: Asked, io: Io): Promise<E.Either<KvError, Made>> {
  const { documents, texts: count, heldOut, tokens: length, model: _, out: __, ...recipe } = asked;
  const [texts, tokenizer] = [await textsFor({ documents }, io)(), model.tokenizer()];
  if (E.isLeft(texts)) return texts;
  if (E.isLeft(tokenizer)) return tokenizer;
  const cut = (split: "train" | "tune", most: number) =>
    gateTokens(tokenizer.right, texts.right.documents, { split, count: most, length, seed: recipe.seed });
  const [train, held] = [cut("train", count), cut("tune", heldOut)];
  if (train.length === 0 || held.length === 0) {
    return invalid("--tokens", `${length}, which no text ${train.length === 0 ? "to train on" : "held out"} has`, "fewer, or longer texts");
  }
  const progress = (what: string, done: number, every: number): void => io.progress(what, done, every);
  const gates = await trainGates(model, { train, heldOut: held, recipe: { ...GATE_RECIPE, ...recipe }, queries: QUERIES, progress });
  if (E.isLeft(gates)) return gates;
  const about = { model: called, [NORMS]: model.norms, recipe: JSON.stringify(recipe), "texts.sha256": texts.right.hash };
  const bytes = writeSafetensors(gates.right.tensors, new Map(Object.entries(about)));
  if (E.isLeft(bytes)) return bytes;
  const read = E.chain(readSurrogate("wgkv", model.spec.shape))(readSafetensors("wgkv as trained", bytes.right));
  const tokens = train.reduce((sum, text) => sum + text.tokens.length, 0);
  return E.map(() => ({ bytes: bytes.right, tokens, heads: gates.right.heads }))(read);
}

function said(out: string, tokens: number, heads: ReadonlyArray<GateQuality>): string {
  const mean = (of: (head: GateQuality) => number): number => heads.reduce((sum, head) => sum + of(head), 0) / heads.length;
  const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
  const all = heads.filter((h) => h.admitted === 1).length;
  const none = heads.filter((h) => h.admitted < 0.01).length;
  const text =
    `On held-out texts the gates of ${heads.length} heads admit ${percent(mean((h) => h.admitted))} of the rows that leave the window, ` +
    `${none} of them less than one in a hundred and ${all} all; attention is off by ${percent(mean((h) => h.distance))} of its energy on ` +
    `average, and by ${
      percent(mean((h) => h.windowAlone))
    } with the window alone. Prune with them: --surrogate ${out} --policy 'wgkv(0.1)'.`;
  return `${out}: gates from ${grouped(tokens)} tokens\n\n${wrapped(text, 110, "")}`;
}
