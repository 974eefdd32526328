/**
 * `kvfold policies`: the methods that a policy text can name.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { cards, registry } from "../../papers/mod.ts";
import type { Entry } from "../../policy/term.ts";
import type { Command } from "../command.ts";
import { table, wrapped } from "../table.ts";

/** What a name does and when to use it. */
const aboutOf = (name: string): string => registry.find((entry) => entry.name === name)?.about ?? "";

/** How text calls what no paper gives an example of: its parameters by name. */
const callOf = ({ name, kind, params }: Entry): string =>
  (kind === "rewrite" ? "…|" : "") + name + (params.length === 0 ? "" : `(${params.map((param) => param.name).join(", ")})`);

/** The command. */
export const policies: Command = {
  name: "policies",
  summary: "lists the methods that --policy can name",
  about:
    "Every method with a paper is one file under papers/. A policy is one method, or several joined by +, each with its arguments in " +
    "parentheses; a rewrite such as ada or pyramid stands behind | and changes the method before it.",
  options: [],
  examples: [{
    line: "policies",
    does: "prints each name, an example of its text, its paper, what it does and when to use it; --json says more",
  }],
  run: (given, io) => () => {
    if (given.flag("json")) {
      io.out(`${JSON.stringify({ policies: cards.map((card) => ({ ...card, about: aboutOf(card.name) })) })}\n`);
      return Promise.resolve(E.right(undefined));
    }
    const columns = [
      { title: "name", align: "left" },
      { title: "example", align: "left" },
      { title: "arXiv", align: "left" },
      { title: "what it does; when to use it", align: "left" },
    ] as const;
    const methods = cards.map(({ name, example, arxiv }) => [name, example, arxiv, aboutOf(name)]);
    const others = registry.filter(({ name }) => !cards.some((card) => card.name === name));
    io.out(table(columns, [...methods, ...others.map((entry) => [entry.name, callOf(entry), "–", entry.about])]));
    io.out(`\n${wrapped(policies.about, 100, "")}`);
    return Promise.resolve(E.right(undefined));
  },
};
