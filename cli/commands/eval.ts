/**
 * `kvfold eval`: policies against each other on tasks with answers, with controls and intervals, as a report to read.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { createHash } from "node:crypto";
import type { KvError } from "../../cache/error.ts";
import { documentsOf } from "../../eval/documents.ts";
import { evaluate } from "../../eval/evaluate.ts";
import { frameOf } from "../../eval/frame.ts";
import { type Document, type Item, type TaskName, TASKS } from "../../eval/item.ts";
import { itemsOf } from "../../eval/items.ts";
import { controlsAt, type Method, methodOf } from "../../eval/methods.ts";
import { syntheticDocuments } from "../../eval/synthetic.ts";
import { POLICIES_OF_TIERS, TIERS } from "../../eval/tiers.ts";
import type { Model } from "../../model/model.ts";
import { parsePolicy } from "../../papers/mod.ts";
import { INDUCTION } from "../catalogue.ts";
import type { Command } from "../command.ts";
import { corpusTexts } from "../corpora.ts";
import { documentsIn } from "../eval_documents.ts";
import { type Arguments, openStore } from "../eval_store.ts";
import type { Io } from "../io.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, type Given, invalid, MANY, oneOf, required, whole } from "../options.ts";
import { DOCUMENTS, MODEL } from "../shared.ts";
import { wrapped } from "../table.ts";

/** The command. */
export const evalCommand: Command = {
  name: "eval",
  summary: "scores policies on tasks with answers against the full cache and controls, and writes a report",
  about:
    `Every prompt is read once and every policy is tried on a fork of it. Finished pairs of item and policy are kept in the folder of ` +
    `--out, so the same command goes on where it was stopped, and more policies can be added to a run. Tasks are ${TASKS.join(", ")}.`,
  options: [
    MODEL,
    {
      name: "policies",
      kind: "list",
      value: "POLICY",
      rest: true,
      about: "such as snapkv(25%) or 'snapkv(@)', where @ is each budget (a list of baselines)",
    },
    { name: "tasks", kind: "list", value: "TASK", rest: true, about: "such as T1,T2 (the tier's)" },
    { name: "budgets", kind: "text", value: "LIST", about: "shares of the rows, such as 50%,25% (the tier's)" },
    { name: "tier", kind: "text", value: "TIER", about: "smoke, nightly or full: sizes where nothing else is said (smoke)" },
    { name: "out", kind: "text", value: "FOLDER", about: "where runs.jsonl, results.json, report.md and report.html are written" },
    DOCUMENTS,
    { name: "tokens", kind: "text", value: "N", about: "tokens read per item (the tier's)" },
    {
      name: "scored",
      kind: "text",
      value: "N",
      about: "tokens scored where the task does not say; T10 follows twice as many (the tier's)",
    },
    { name: "items", kind: "text", value: "N", about: "items per task (the tier's)" },
    { name: "seed", kind: "text", value: "N", about: "of the items (1)" },
    ...RUNNING,
  ],
  examples: [{
    line: "eval --model SmolLM2-135M-Instruct --tier smoke --policies 'snapkv(@)' 'knorm(@)' --out report",
    does: "three tasks, two policies at half and a quarter of the rows, controls, and report/report.html to read",
  }],
  run: (given, io) => async () => {
    const plan = jobOf(given);
    if (E.isLeft(plan)) return plan;
    const documents = await documentsFor(plan.right, io)();
    if (E.isLeft(documents)) return documents;
    const { job, model: name } = { job: plan.right, model: plan.right.model };
    return await withModel(given, io, name, (model, called) => async () => {
      const items = makeItems(model, job, documents.right);
      if (E.isLeft(items)) return items;
      const opened = await openStore(job.out, argumentsOf(job, called, model.backend.name, documents.right))();
      if (E.isLeft(opened)) return opened;
      using store = opened.right;
      const watch = (label: string, done: number, total: number): void => io.progress(label, done, total);
      const ran = await evaluate(model, job.methods, store, watch)(items.right)();
      if (E.isLeft(ran)) return ran;
      io.progress("writing the report", 0, null);
      // Drawing needs a large library, which no other command should wait for.
      const { writeReport } = await import("../eval_report.ts");
      const written = await writeReport(job.out, { model: called, backend: model.backend.name, seed: job.seed }, store.records())();
      if (E.isLeft(written)) return written;
      io.clear();
      io.out(given.flag("json") ? `${written.right.json}\n` : said(written.right.text, job.out));
      return E.right(undefined);
    })();
  },
};

const said = (text: string, out: string): string =>
  `${text}\n${wrapped(`The report is ${out}/report.html; the same as text is ${out}/report.md.`, 100, "")}`;

interface Job {
  readonly model: string;
  readonly out: string;
  readonly documents: string | null;
  readonly tasks: ReadonlyArray<TaskName>;
  readonly methods: ReadonlyArray<Method>;
  readonly tokens: number;
  readonly items: number;
  readonly scored: number;
  readonly seed: number;
}

function jobOf(given: Given): Either<KvError, Job> {
  const named = oneOf(given, "tier", ["smoke", "nightly", "full"], "smoke");
  if (E.isLeft(named)) return named;
  const tier = TIERS[named.right];
  const budgets = budgetsOf(given.text("budgets") ?? tier.budgets.join(","));
  if (E.isLeft(budgets)) return budgets;
  return E.map((job: Omit<Job, "documents">): Job => ({ ...job, documents: given.text("documents") }))(all({
    model: required(given, "model", MODEL.about),
    out: required(given, "out", "a folder"),
    tasks: tasksOf(given.list("tasks"), tier.tasks),
    methods: methodsOf(given.list("policies"), budgets.right),
    tokens: whole(given, "tokens", { from: 64, to: MANY }, tier.tokens),
    scored: whole(given, "scored", { from: 2, to: MANY }, tier.scored),
    items: whole(given, "items", { from: 2, to: 100_000 }, tier.items),
    seed: whole(given, "seed", { from: 0, to: MANY }, 1),
  }));
}

/** Parts of a list between commas or semicolons that are inside no brackets. */
function parts(text: string): ReadonlyArray<string> {
  let depth = 0;
  let part = "";
  const found: string[] = [];
  for (const char of `${text},`) {
    if (char === "(" || char === "[") depth++;
    if (char === ")" || char === "]") depth--;
    if ((char === "," || char === ";") && depth <= 0) {
      if (part.trim() !== "") found.push(part.trim());
      part = "";
    } else part += char;
  }
  return found;
}

function budgetsOf(text: string): Either<KvError, ReadonlyArray<string>> {
  const found = parts(text).map((part) => part.endsWith("%") ? part : `${part}%`);
  const bad = found.find((part) => !/^\d{1,2}(\.\d{1,3})?%$/.test(part) || Number(part.slice(0, -1)) <= 0);
  return bad !== undefined || found.length === 0
    ? invalid("--budgets", bad ?? text, "percentages above 0 and below 100 with commas between them")
    : E.right(found);
}

function tasksOf(given: ReadonlyArray<string>, fallback: ReadonlyArray<TaskName>): Either<KvError, ReadonlyArray<TaskName>> {
  const asked = given.flatMap(parts);
  const bad = asked.find((name) => !TASKS.some((task) => task === name));
  if (bad !== undefined) return invalid("--tasks", bad, `one of ${TASKS.join(", ")}`);
  return E.right(asked.length === 0 ? fallback : TASKS.filter((task) => asked.includes(task)));
}

function methodsOf(given: ReadonlyArray<string>, budgets: ReadonlyArray<string>): Either<KvError, ReadonlyArray<Method>> {
  const asked = given.length === 0 ? POLICIES_OF_TIERS : given.flatMap(parts);
  const texts = [...new Set(asked.flatMap((text) => text.includes("@") ? budgets.map((share) => text.replaceAll("@", share)) : [text]))];
  const policies = texts.map(parsePolicy);
  const bad = policies.find(E.isLeft);
  if (bad !== undefined) return bad;
  const controls = budgets.flatMap((share) =>
    controlsAt({ numerator: Math.round(1000 * Number(share.slice(0, -1))), denominator: 100_000 })
  );
  return E.right([...controls, ...policies.flatMap((policy) => E.isRight(policy) ? [methodOf(policy.right)] : [])]);
}

/** The folder that is named; for the embedded model, which reads bytes, made-up prose; else the reported split of the corpora. */
const documentsFor = ({ documents, model, tokens, seed }: Job, io: Io): TaskEither<KvError, ReadonlyArray<Document>> =>
  documents !== null
    ? documentsIn(documents)
    : model === INDUCTION
    ? TE.right(syntheticDocuments(16, Math.ceil(tokens / 8) + 40, seed))
    : TE.map(documentsOf)(corpusTexts(io));

function makeItems(model: Model, job: Job, documents: ReadonlyArray<Document>): Either<KvError, ReadonlyArray<Item>> {
  const tokenizer = model.tokenizer();
  if (E.isLeft(tokenizer)) return tokenizer;
  const { seed, tokens, scored } = job;
  const recipe = { frame: frameOf(tokenizer.right), seed, tokens, scored };
  const made = job.tasks.map((task) => itemsOf(task, documents, recipe, job.items));
  return made.find(E.isLeft) ?? E.right(made.flatMap((items) => E.isRight(items) ? items.right : []));
}

/** What makes the numbers: a run with other values is another run. More items, tasks and policies continue one: item `i` is the same
 * however many there are. */
const argumentsOf = (
  { tokens, scored, seed }: Job,
  model: string,
  backend: string,
  documents: ReadonlyArray<Document>,
): Arguments => {
  const hash = createHash("sha256");
  documents.forEach(({ name, kind, text }) => hash.update(JSON.stringify([name, kind, text])));
  return { format: 2, model, backend, tokens, scored, seed, documents: hash.digest("hex").slice(0, 16) };
};
