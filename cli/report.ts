/**
 * A comparison as a person reads it.
 * @module
 */
import type { Comparison, Run } from "../eval/compare.ts";
import { grouped, megabytes, signed, table, wrapped } from "./table.ts";

const COLUMNS = [
  { title: "policy", align: "left" },
  { title: "rows kept", align: "right" },
  { title: "MB", align: "right" },
  { title: "of full", align: "right" },
  { title: "prefill tok/s", align: "right" },
  { title: "decode tok/s", align: "right" },
  { title: "ΔNLL", align: "right" },
  { title: "KL", align: "right" },
  { title: "top-1", align: "right" },
] as const;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const cells = (run: Run): ReadonlyArray<string> => [
  run.policy,
  grouped(run.rowsKept),
  megabytes(run.bytes),
  percent(run.bytes / run.bytesFull),
  run.prefillTokensPerSecond.toFixed(0),
  run.decodeTokensPerSecond.toFixed(1),
  signed(run.nllDelta, 3),
  run.kl.toFixed(3),
  percent(run.top1),
];

/** What a run held between prompt and answer, if that is not what it attends to. */
const storedNote = ({ policy, bytesStored, bytesFull }: Run): string =>
  bytesStored === undefined
    ? ""
    : ` ${policy} was stored in ${megabytes(bytesStored)} MB, ${
      (bytesFull / bytesStored).toFixed(1)
    } times less; MB is what it holds while it is attended to.`;

/** What a comparison asked. */
export interface Asking {
  readonly title: string;
  readonly question: string | null;
}

/** The table of runs, what its columns mean, and the answers beneath. */
export function report({ model, backend, tokens, runs }: Comparison, { title, question }: Asking): string {
  const head = `${model} on ${backend}: ${title}, ${grouped(tokens)} tokens in the cache\n`;
  const notes =
    `The whole cache in f16 is ${
      megabytes(runs[0]?.bytesFull ?? 0)
    } MB. ΔNLL (nats per token), KL and top-1 agreement: next to the full cache, ` +
    `on the tokens that follow the document.${runs.map(storedNote).join("")}`;
  const width = Math.max(...runs.map(({ policy }) => policy.length));
  const answers = runs.map(({ policy, text }) => {
    const lines = wrapped(text.trim() === "" ? "(nothing)" : text, 96, " ".repeat(width + 4));
    return `  ${policy.padEnd(width)}  ${lines.trimStart()}`;
  });
  const asked = question === null ? "How the document is continued" : `Asked: ${question}`;
  return `${head}\n${table(COLUMNS, runs.map(cells))}\n${wrapped(notes, 110, "")}\n${asked}\n\n${answers.join("")}`;
}
