/**
 * Writes the files of an evaluation's report.
 * @module
 */
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { EvalRecord } from "../eval/record.ts";
import { summarise } from "../eval/summary.ts";

export interface Written {
  readonly json: string;
  readonly text: string;
}
export const writeReport = (
  _out: string,
  about: Readonly<Record<string, string | number>>,
  records: ReadonlyArray<EvalRecord>,
): TaskEither<KvError, Written> => {
  const s = summarise(records);
  const text = s.map((t) =>
    `${t.task} items ${t.items} docs ${t.documents} tokens ${t.tokens.toFixed(0)} solvable ${t.solvable.toFixed(2)}\n` +
    t.rows.map((r) =>
      `  ${r.method.padEnd(44)} ${(100 * r.bytes).toFixed(1)}% ${(100 * r.held).toFixed(1)}% ${r.ms.toFixed(0)}ms ` +
      Object.entries(r.values).map(([k, v]) =>
        `${k} ${v === null ? "-" : `${v.value.toFixed(3)} [${v.low.toFixed(3)} ${v.high.toFixed(3)}]`}`
      ).join("  ")
    ).join("\n")
  ).join("\n");
  return TE.right({ json: JSON.stringify({ ...about }), text });
};
