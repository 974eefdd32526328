/**
 * `kvfold start`: the main job. A real model reads a real document with the whole cache and with three policies.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { showError } from "../../cache/error.ts";
import { INDUCTION, resolveModel, SMOLLM2 } from "../catalogue.ts";
import type { Command } from "../command.ts";
import { type Document, fetchAddress, recallDocument } from "../documents.ts";
import { readText } from "../files.ts";
import type { Io } from "../io.ts";
import { RUNNING } from "../models.ts";
import { report } from "../report.ts";
import { CHUNK, CODEC, POLICIES, policiesOf } from "../shared.ts";
import { comparison, type Job } from "./compare.ts";

/** About half of the rows by learned scores, by attention, and by age alone. */
const POLICIES_OF_START = ["kvzap(-4)", "snapkv(50%)|ada(20%)", "streamingllm(50%)"];
/** For the embedded model, which comes without a learned scorer. */
const POLICIES_OF_RECALL = ["snapkv(50%)|ada(20%)", "snapkv(25%)", "streamingllm(25%)"];

/** The command. */
export const start: Command = {
  name: "start",
  summary: "the main job: a real model, a real document, the whole cache and three policies side by side",
  about:
    `Fetches ${SMOLLM2.name} and a State of the Union address (both once, checked to the byte), and compares. Where no model can be fetched it says so and ` +
    "runs on a small model that is constructed in code.",
  options: [
    { ...POLICIES, about: `instead of ${POLICIES_OF_START.join(", ")}` },
    { name: "tokens", kind: "text", value: "N", about: "most tokens of the document that are cached (2048)" },
    { name: "max-new-tokens", kind: "text", value: "N", about: "longest answer (48)" },
    CODEC,
    CHUNK,
    ...RUNNING,
  ],
  examples: [{ line: "start --policy 'tova(25%)' --policy 'knorm(25%)'", does: "the main job with two policies of your choice" }],
  run: (given, io) => async () => {
    const asked = policiesOf(given, POLICIES_OF_START);
    if (E.isLeft(asked)) return asked;
    const { job, title } = await prepare(io);
    const policies = job.model === INDUCTION ? policiesOf(given, POLICIES_OF_RECALL) : asked;
    if (E.isLeft(policies)) return policies;
    const result = await comparison(given, io, { ...job, policies: policies.right });
    if (E.isLeft(result)) return result;
    io.clear();
    io.out(given.flag("json") ? `${JSON.stringify(result.right)}\n` : report(result.right, { title, question: job.question }));
    return E.right(undefined);
  },
};

interface Prepared {
  readonly title: string;
  readonly job: Omit<Job, "policies">;
}

/** The model and document of the main job, or what stands in for them; says so on standard error. */
async function prepare(io: Io): Promise<Prepared> {
  const model = await resolveModel(SMOLLM2.name, io)();
  if (E.isLeft(model)) {
    io.note(`kvfold: ${showError(model.left)}; the embedded induction model and 250 keys with values are used instead`);
    const { title, text, question } = recallDocument();
    return { title, job: { model: INDUCTION, document: text, question, tokens: 2372, maxNewTokens: 4 } };
  }
  const { title, text, question } = await document(io);
  return { title, job: { model: SMOLLM2.name, document: text, question, tokens: 2048 } };
}

async function document(io: Io): Promise<Document> {
  const address = await fetchAddress(io)();
  if (E.isRight(address)) return address.right;
  io.note(`kvfold: ${showError(address.left)}; the text of this program's licence is used instead`);
  const licence = await readText("LICENSE", new URL("../../LICENSE", import.meta.url))();
  return {
    title: "the Apache License 2.0",
    question: "What must a recipient of the work be given?",
    text: E.isRight(licence) ? licence.right : "",
  };
}
