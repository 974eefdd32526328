#!/usr/bin/env -S deno run -A
/**
 * The `kvfold` command: `deno task kvfold COMMAND …` from a checkout, `kvfold COMMAND …` once installed.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * let text = "";
 * const io = { out: (part: string | Uint8Array) => void (text += part), note: () => {}, progress: () => {}, clear: () => {}, env: () => undefined };
 * assertEquals(await main(["policies", "--json"], io), 0);
 * assertEquals(Object.keys(JSON.parse(text)), ["policies"]);
 * ```
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { showError } from "../cache/error.ts";
import { type Command, COMMON, helpOf, overview, subjectsHelp } from "./command.ts";
import { bench } from "./commands/bench.ts";
import { compare } from "./commands/compare.ts";
import { evalCommand } from "./commands/eval.ts";
import { estimate } from "./commands/estimate.ts";
import { generate } from "./commands/generate.ts";
import { inspect } from "./commands/inspect.ts";
import { logits } from "./commands/logits.ts";
import { policies } from "./commands/policies.ts";
import { score } from "./commands/score.ts";
import { start } from "./commands/start.ts";
import { trainGateCommand } from "./commands/train_gate.ts";
import { trainKvsharer } from "./commands/train_kvsharer.ts";
import { trainKvtc } from "./commands/train_kvtc.ts";
import { trainKvzap } from "./commands/train_kvzap.ts";
import { reasonOf, unavailable } from "./files.ts";
import { type Io, processIo } from "./io.ts";
import { invalid, readOptions } from "./options.ts";

export type { Io } from "./io.ts";
export type { Progress } from "./files.ts";

const commands: ReadonlyArray<Command> = [
  start,
  compare,
  generate,
  logits,
  score,
  inspect,
  policies,
  estimate,
  bench,
  trainKvzap,
  trainKvtc,
  trainKvsharer,
  trainGateCommand,
  evalCommand,
];

/** Runs one command line and gives the exit status: 0, or 1 after one sentence on standard error. */
export async function main(argv: ReadonlyArray<string>, io: Io): Promise<number> {
  const result = await perform(argv, io);
  io.clear();
  if (E.isRight(result)) return 0;
  io.note(`kvfold: ${showError(result.left)}`);
  return 1;
}

async function perform([name, ...rest]: ReadonlyArray<string>, io: Io): Promise<E.Either<KvError, void>> {
  if (name === undefined || name === "help" || name === "--help") {
    io.out(overview(commands));
    return E.right(undefined);
  }
  const called = commands.filter((one) => one.name === name);
  const subjects = called.flatMap((one) => one.subjects ?? []);
  const command = called.find((one) => one.subjects?.includes(rest[0] ?? "") === true) ?? called[0];
  if (command === undefined) return invalid("COMMAND", name, `one of ${[...new Set(commands.map((one) => one.name))].join(", ")}`);
  const named = subjects.includes(rest[0] ?? "");
  const given = readOptions(named ? rest.slice(1) : rest, [...command.options, ...COMMON]);
  if (E.isRight(given) && given.right.flag("help")) {
    io.out(called.length > 1 && !named ? subjectsHelp(called) : helpOf(command));
    return E.right(undefined);
  }
  if (subjects.length > 0 && !named) {
    return invalid(`after ${name}`, rest[0]?.startsWith("-") ?? true ? "nothing" : rest[0] ?? "", `one of ${subjects.join(", ")}`);
  }
  if (E.isLeft(given)) return given;
  try {
    return await command.run(given.right, io)();
  } catch (thrown) {
    // Whatever a command did not foresee is still one sentence, never a stack trace.
    return E.left(unavailable(`kvfold ${name}`, reasonOf(thrown)));
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args, processIo()));
