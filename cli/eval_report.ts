/**
 * Writes the files of an evaluation's report: each under its name only when it is whole.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import { type Head, markdownOf, pageOf, portraitOf } from "../eval/markup.ts";
import type { EvalRecord } from "../eval/record.ts";
import { allFamilies, headsSection, overview, type Section, taskSection, timeSection } from "../eval/sections.ts";
import { summarise, type TaskSummary } from "../eval/summary.ts";
import { reasonOf, replaceFile, unavailable } from "./files.ts";
import { table } from "./table.ts";

/** What ran. */
export interface About {
  readonly model: string;
  readonly backend: string;
  readonly seed: number;
}

/** The report as JSON, and the overview as text. */
export interface Written {
  readonly json: string;
  readonly text: string;
}

/** Writes `results.json`, `report.md`, `plots/` and `report.html`. */
export const writeReport = (out: string, about: About, records: ReadonlyArray<EvalRecord>): TaskEither<KvError, Written> => async () => {
  const summaries = summarise(records);
  const sections = await sectionsOf(summaries, records);
  if (E.isLeft(sections)) return sections;
  const json = JSON.stringify({ ...about, tasks: summaries.map(({ ratios: _, chosen: __, ...summary }) => summary) });
  const head: Head = {
    title: `What eviction costs ${about.model}`,
    facts: [
      `${records.length} runs on ${about.backend}, items of seed ${about.seed}; the same items for every policy`,
      "Bytes are codes and positions of the kept rows; “held” adds rings of queries, slack and layouts; “stored” is what a policy stores " +
      "between prompt and answer in another form",
      "Rows read: by the queries of the last token scored, as a share of the full cache's",
      "95 % intervals by bootstrap over documents, 10,000 resamples; differences are paired",
    ],
  };
  try {
    await Deno.mkdir(join(out, "plots"), { recursive: true });
    await replaceFile(join(out, "results.json"), `${json}\n`);
    for (const { name, svg } of sections.right.flatMap(({ plots }) => plots)) await replaceFile(join(out, "plots", `${name}.svg`), svg);
    await replaceFile(join(out, "report.md"), markdownOf(head, sections.right));
    await replaceFile(join(out, "report.html"), pageOf(head, sections.right, portraitOf(records)));
  } catch (thrown) {
    return E.left(unavailable(out, reasonOf(thrown)));
  }
  return E.right({ json, text: textOf(sections.right[0]) });
};

async function sectionsOf(
  summaries: ReadonlyArray<TaskSummary>,
  records: ReadonlyArray<EvalRecord>,
): Promise<E.Either<KvError, ReadonlyArray<Section>>> {
  const sections: Section[] = [overview(summaries)];
  const first = summaries[0];
  for (
    const made of [
      ...summaries.map(taskSection(allFamilies(summaries))),
      headsSection(records),
      ...first === undefined ? [] : [timeSection(first)],
    ]
  ) {
    const section = await made();
    if (E.isLeft(section)) return section;
    if (section.right !== null) sections.push(section.right);
  }
  return E.right(sections);
}

/** The overview for a terminal: values without intervals, which the report has. */
const textOf = (section: Section | undefined): string =>
  (section?.tables ?? []).map(({ titles, rows }) =>
    table(
      titles.map((title, i) => ({ title: title.split(",", 1)[0] ?? title, align: i === 0 ? "left" : "right" })),
      rows.map((cells) => cells.map((cell, i) => i === 0 ? cell : cell.split(" ", 1)[0] ?? cell)),
    )
  ).join("\n");
