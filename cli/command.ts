/**
 * What a command is, and its help.
 * @module
 */
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { Io } from "./io.ts";
import type { Given, Option } from "./options.ts";
import { wrapped } from "./table.ts";

/** One command of the command line. */
export interface Command {
  readonly name: string;
  /** Words of which one must follow the name. */
  readonly subjects?: ReadonlyArray<string>;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What help says beside the options. */
  readonly about: string;
  readonly options: ReadonlyArray<Option>;
  /** Worked examples: what to type behind `kvfold`, and what it does. */
  readonly examples: ReadonlyArray<{ readonly line: string; readonly does: string }>;
  readonly run: (given: Given, io: Io) => TaskEither<KvError, void>;
}

/** Options that every command has. */
export const COMMON: ReadonlyArray<Option> = [
  { name: "json", kind: "flag", about: "print JSON alone on standard output" },
  { name: "help", kind: "flag", about: "print this" },
];

const spelled = ({ name, kind, value }: Option): string => kind === "flag" ? `--${name}` : `--${name} ${value ?? "VALUE"}`;

/** The help of one command. */
export function helpOf(command: Command): string {
  const options = [...command.options, ...COMMON];
  const width = Math.max(...options.map((option) => spelled(option).length));
  const lines = options.map((option) =>
    `  ${spelled(option).padEnd(width)}  ${option.about}${option.kind === "list" ? " (may be repeated)" : ""}\n`
  );
  const examples = command.examples.map(({ line, does }) => `  kvfold ${line}\n${wrapped(does, 96, "      ")}`);
  return `kvfold ${
    [command.name, ...command.subjects === undefined ? [] : [command.subjects.join("|")]].join(" ")
  }: ${command.summary}\n\n${wrapped(command.about, 100, "")}\nOptions\n${lines.join("")}\nExample\n${examples.join("")}`;
}

/** What the commands of one name do, each behind its own word. */
export function subjectsHelp(commands: ReadonlyArray<Command>): string {
  const lines = commands.map(({ name, subjects = [], summary, examples }) =>
    `  ${name} ${subjects.join("|")}\n${wrapped(`${summary}.`, 96, "      ")}${
      examples.slice(0, 1).map(({ line }) => `      kvfold ${line}\n`).join("")
    }`
  );
  const [first] = commands;
  return `kvfold ${first?.name ?? ""}: one of these\n\n${lines.join("\n")}\nkvfold ${
    first?.name ?? ""
  } WORD --help shows the options of one of them.\n`;
}

/** The list of commands. */
export function overview(commands: ReadonlyArray<Command>): string {
  const full = ({ name, subjects = [] }: Command): string => subjects.length === 0 ? name : `${name} ${subjects.join("|")}`;
  const width = Math.max(...commands.map((command) => full(command).length));
  const lines = commands.map((command) => `  ${full(command).padEnd(width)}  ${command.summary}\n`);
  return `kvfold: a language model reads a text with a smaller key-value cache, and you see what that costs\n\n${lines.join("")}\n` +
    "kvfold COMMAND --help shows the options of a command and a worked example.\n";
}
