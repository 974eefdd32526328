/**
 * `kvfold policies`: the methods that a policy text can name.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { cards } from "../../papers/mod.ts";
import type { Command } from "../command.ts";
import { table, wrapped } from "../table.ts";

/** The command. */
export const policies: Command = {
  name: "policies",
  summary: "lists the methods that --policy can name",
  about: "Every method is one file under papers/. A policy is one method, or several joined by +, each with its arguments in " +
    "parentheses; a rewrite such as ada or pyramid stands behind | and changes the method before it.",
  options: [],
  examples: [{ line: "policies", does: "prints the name of each method, an example of its text, and the paper it comes from" }],
  run: (given, io) => () => {
    if (given.flag("json")) {
      io.out(`${JSON.stringify({ policies: cards })}\n`);
      return Promise.resolve(E.right(undefined));
    }
    const columns = [
      { title: "name", align: "left" },
      { title: "example", align: "left" },
      { title: "arXiv", align: "left" },
      { title: "paper", align: "left" },
    ] as const;
    io.out(table(columns, cards.map(({ name, example, arxiv, title }) => [name, example, arxiv, title])));
    io.out(`\n${wrapped(policies.about, 100, "")}`);
    return Promise.resolve(E.right(undefined));
  },
};
