/**
 * `kvfold inspect`: what a model file says about itself.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { fullBytes } from "../../cache/bytes.ts";
import type { ModelFile } from "../../model/types.ts";
import type { Command } from "../command.ts";
import { readModel } from "../models.ts";
import { required } from "../options.ts";
import { MODEL } from "../shared.ts";
import { grouped, megabytes, table } from "../table.ts";

/** How many tensors a model has of one block type, and how many bytes they take. */
interface TypeCount {
  readonly type: string;
  readonly count: number;
  readonly bytes: number;
}

/** The command. */
export const inspect: Command = {
  name: "inspect",
  summary: "shows a model file's facts and the types of its tensors",
  about: "Reads and checks the whole file but loads no weight. Every number comes from the file.",
  options: [MODEL],
  examples: [{
    line: "inspect --model SmolLM2-135M-Instruct",
    does: "layers, heads, context, bytes of cache per token, and how many tensors have which block type",
  }],
  run: (given, io) => async () => {
    const name = required(given, "model", MODEL.about);
    if (E.isLeft(name)) return name;
    const file = await readModel(name.right, io)();
    if (E.isLeft(file)) return file;
    const facts = factsOf(file.right.name, file.right.file);
    const tensors = histogram(file.right.file);
    io.out(given.flag("json") ? `${JSON.stringify({ ...facts, tensors })}\n` : report(facts, tensors));
    return E.right(undefined);
  },
};

function histogram({ tensors }: ModelFile): ReadonlyArray<TypeCount> {
  const types = [...new Set([...tensors.values()].map(({ type }) => type))].sort();
  return types.map((type) => {
    const of = [...tensors.values()].filter((tensor) => tensor.type === type);
    return { type, count: of.length, bytes: of.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) };
  });
}

const factsOf = (name: string, { spec, bytes }: ModelFile): Readonly<Record<string, string | number | boolean>> => ({
  model: name,
  title: spec.name,
  architecture: spec.architecture,
  bytes,
  layers: spec.shape.layers.length,
  hidden: spec.shape.hidden,
  ffn: spec.ffn[0] ?? 0,
  queryHeads: spec.shape.layers[0]?.queryHeads ?? 0,
  kvHeads: spec.shape.layers[0]?.kvHeads ?? 0,
  headDim: spec.shape.layers[0]?.keyDim ?? 0,
  vocab: spec.shape.vocab,
  context: spec.shape.context,
  ropeTheta: spec.shape.layers[0]?.rope.theta ?? 0,
  tiedOutput: spec.tiedOutput,
  cacheBytesPerToken: fullBytes(spec.shape, 1),
});

/** How a person reads a fact; every other key is its own label. */
const LABELS: Readonly<Record<string, string>> = {
  title: "name in the file",
  ffn: "feed-forward width (first layer)",
  queryHeads: "query heads (first layer)",
  kvHeads: "key-value heads (first layer)",
  headDim: "channels per head (first layer)",
  ropeTheta: "rotary base",
  tiedOutput: "output tied to embedding",
  cacheBytesPerToken: "cache bytes per token (f16)",
};

function report(facts: Readonly<Record<string, string | number | boolean>>, tensors: ReadonlyArray<TypeCount>): string {
  const show = (value: string | number | boolean): string =>
    typeof value === "number" ? grouped(value) : typeof value === "boolean" ? value ? "yes" : "no" : value;
  const lines = Object.entries(facts).map(([key, value]) => [LABELS[key] ?? key, show(value)]);
  const width = Math.max(...lines.map(([label]) => label?.length ?? 0));
  const types = table(
    [{ title: "type", align: "left" }, { title: "tensors", align: "right" }, { title: "MB", align: "right" }],
    tensors.map(({ type, count, bytes }) => [type, grouped(count), megabytes(bytes)]),
  );
  return `${lines.map(([label, value]) => `${label?.padEnd(width)}  ${value}\n`).join("")}\n${types}`;
}
