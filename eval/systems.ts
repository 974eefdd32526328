/**
 * What a page says that puts many systems side by side: at equal bytes, at equal rows read, at their own budget, and while decoding.
 * @module
 */
import { type Interval, intervalOf, resamples } from "./bootstrap.ts";
import type { TaskName } from "./item.ts";
import { MEASURES } from "./measures.ts";
import { allFamilies, CONTROLS, isKnown, type Section, shareAt, shown, type Table } from "./sections.ts";
import { differenceAt, type Row, type TaskSummary, valueAt } from "./summary.ts";

/** Shares of the full cache's bytes, or of its rows read, at which systems are compared. */
const BUDGETS: ReadonlyArray<number> = [1 / 2, 1 / 4, 1 / 8];

/** A number of a task that a column shows. */
interface Column {
  readonly task: TaskName;
  readonly measure: string;
  readonly title: string;
}

const COLUMNS: ReadonlyArray<Column> = [
  { task: "T1", measure: "delta", title: "T1 NLL delta" },
  { task: "T1", measure: "kl", title: "T1 KL" },
  { task: "T2", measure: "recovery", title: "T2 needle recovery" },
  { task: "T7", measure: "recovery", title: "T7 recovery, 8 questions" },
  { task: "T7", measure: "worst", title: "T7 worst question" },
];

const percent = (share: number | null): string => share === null ? "–" : `${(100 * share).toFixed(1)}%`;
const isControl = (family: string): boolean => CONTROLS.includes(family);

/** Whether queries read much fewer rows than are held: what leaves is in neither number, and columns are a few per cent of the bytes. */
const selects = ({ bytes, rowsRead }: Row): boolean => rowsRead !== null && rowsRead < 0.8 * bytes;

/** The rows of a method in every task that it was run on. */
const rowsOf = (summaries: ReadonlyArray<TaskSummary>, method: string): ReadonlyArray<Row> =>
  summaries.flatMap(({ rows }) => rows.filter((row) => row.method === method));

/** How many documents a number rests on, where they are not all. */
const cell = (value: Interval | null | undefined, { documents }: TaskSummary): string =>
  `${shown(value)}${value === null || value === undefined || value.documents === documents ? "" : ` (${value.documents})`}`;

const columnsOf = (
  summaries: ReadonlyArray<TaskSummary>,
): ReadonlyArray<Column & { readonly summary: TaskSummary }> =>
  COLUMNS.flatMap((column) => {
    const summary = summaries.find(({ task }) => task === column.task);
    return summary === undefined ? [] : [{ ...column, summary }];
  });

/** Families that keep fewer rows or fewer bits, at one share of the bytes, the best of the first column first. */
function atBytes(summaries: ReadonlyArray<TaskSummary>, families: ReadonlyArray<string>, budget: number): Table {
  const columns = columnsOf(summaries);
  const value = (family: string, { summary, measure }: typeof columns[number]): Interval | null =>
    valueAt(summary, family, measure, shareAt(summary, budget));
  const placed = families.filter((family) => columns.some((column) => value(family, column) !== null));
  const key = (family: string): number => columns[0] === undefined ? 0 : value(family, columns[0])?.value ?? Infinity;
  const first = columns[0];
  return {
    titles: [`at ${percent(budget)} of the bytes`, ...columns.map(({ title }) => title), "T1 NLL delta minus random's"],
    rows: placed.toSorted((a, b) => key(a) - key(b)).map((family) => [
      family,
      ...columns.map((column) => cell(value(family, column), column.summary)),
      first === undefined || family === "random"
        ? "–"
        : shown(differenceAt(first.summary, family, "random", first.measure, shareAt(first.summary, budget))),
    ]),
  };
}

/** Methods as they are, with what they hold, store and read. */
function asTheyAre(summaries: ReadonlyArray<TaskSummary>, methods: ReadonlyArray<string>, title: string): Table {
  const columns = columnsOf(summaries);
  return {
    titles: [title, "bytes", "stored", "rows read", ...columns.map((column) => column.title)],
    rows: methods.map((method) => {
      const [row] = rowsOf(summaries, method);
      const values = columns.map(({ summary, measure }) => {
        const own = summary.rows.find((one) => one.method === method);
        return own === undefined || !isKnown(own, measure) ? "–" : cell(own.values[measure], summary);
      });
      return [method, percent(row?.bytes ?? null), percent(row?.stored ?? null), percent(row?.rowsRead ?? null), ...values];
    }),
  };
}

/** Methods of all tasks but the one that decodes. */
const methodsOf = (summaries: ReadonlyArray<TaskSummary>): ReadonlyArray<string> => [
  ...new Set(summaries.flatMap(({ rows }) => rows.map(({ method }) => method))),
];

/** Systems that evict or code, at equal bytes; those that select, at equal rows read; those without a budget, as they are. */
export function systemsSections(all: ReadonlyArray<TaskSummary>): ReadonlyArray<Section> {
  const summaries = all.filter(({ task }) => task !== "T10");
  const methods = methodsOf(summaries);
  const selecting = methods.filter((method) => rowsOf(summaries, method).some(selects));
  const families = allFamilies(summaries).filter((family) =>
    !summaries.some(({ rows }) => rows.some((row) => row.family === family && selecting.includes(row.method)))
  );
  const first = summaries[0];
  // A system that comes near a budget in one task and not in another is told as it is in all.
  const isPlaced = (family: string): boolean =>
    summaries.filter(({ rows }) => rows.some((row) => row.family === family)).every((summary) =>
      BUDGETS.some((budget) => COLUMNS.some(({ measure }) => hasAt(summary, family, measure, budget)))
    );
  const own = methods.filter((method) => {
    const family = rowsOf(summaries, method)[0]?.family ?? method;
    return !selecting.includes(method) && !isControl(family) && !isPlaced(family);
  });
  const ends = first === undefined ? [] : ["full cache", "no context"];
  return [
    section(
      "At equal bytes",
      EQUAL,
      BUDGETS.map((budget) => atBytes(summaries, families.filter((family) => isControl(family) || isPlaced(family)), budget)),
    ),
    section("Every row held, few read", SELECT, [asTheyAre(summaries, selecting, "selects")]),
    section("At the bytes a system comes to by itself", OWN, [asTheyAre(summaries, [...ends, ...own], "system")]),
  ];
}

const hasAt = (summary: TaskSummary, family: string, measure: string, budget: number): boolean =>
  MEASURES[summary.task].some(({ name }) => name === measure) && valueAt(summary, family, measure, shareAt(summary, budget)) !== null;

const section = (title: string, lead: ReadonlyArray<string>, tables: ReadonlyArray<Table>): Section => ({ title, lead, plots: [], tables });

const EQUAL: ReadonlyArray<string> = [
  "Bytes are those of the kept rows in their codes, with positions, columns and scales. NLL delta and KL in nats per token: 0 is the full " +
  "cache, lower is better. Recovery: 1 is the full cache, 0 is no context. The best of the first column stands first; a number in " +
  "parentheses says on how many documents a cell rests where it is not all of them, and then only the paired difference in the last column " +
  "compares: over the documents both were run on, and below 0 where a system is better than rows kept at random.",
];
const SELECT: ReadonlyArray<string> = [
  "These have no byte budget: nothing (RocketKV: only what its first stage drops) leaves, and each decoded token reads a share of the rows. " +
  "“rows read” is that share, counted at the end of T1; the budgets are 50, 25 and 12.5 % of the rows, for RocketKV of its traffic, of " +
  "which half is spent on finding rows. Questions are read token by token, so that they select too.",
];
const OWN: ReadonlyArray<string> = [
  "A fixed number of bits, a threshold or a share of attention says what these hold; no setting of theirs was searched for a budget. " +
  "“stored” is what KVTC stores between prompt and answer; it attends to f16 again.",
];

/** Systems that act while text is decoded. */
export function decodingSection(summary: TaskSummary): Section {
  const rows = summary.rows.filter(({ method }) => method !== "no context");
  const measures = MEASURES.T10;
  return section("While decoding", [
    `T10: ${summary.items} greedy texts of the full cache, ${
      Math.round(summary.tokens)
    } tokens with their prompt, followed by every system ` +
    "while it acts: by its own rule, or at every 16th token if it has none for decoding. Shares refer to prompt and text together. Bytes and rows read are those at the end.",
  ], [{
    titles: ["system", "bytes", "rows read", ...measures.map(({ title }) => title)],
    rows: rows.map((row) => [
      row.method,
      percent(row.bytes),
      percent(row.rowsRead),
      ...measures.map(({ name }) => cell(row.values[name], summary)),
    ]),
  }]);
}

/** Speed of one policy on one document, next to the full cache in the same run. */
export interface SpeedRatio {
  readonly policy: string;
  readonly document: string;
  /** Tokens per second of the prefill, the policy's work at its end included, over the full cache's. */
  readonly prefill: number;
  /** Decoded tokens per second over the full cache's. */
  readonly decode: number;
}

/** A run of `tools/speed_ratios.ts`. */
export interface Speeds {
  readonly tokens: number;
  /** Tokens of a turn. */
  readonly decoded: number;
  /** Turns of decoding, of which the median counts. */
  readonly turns: number;
  readonly ratios: ReadonlyArray<SpeedRatio>;
}

/** Speed as a ratio to the full cache. */
export function speedSection({ tokens, decoded, turns, ratios }: Speeds): Section {
  const policies = [...new Set(ratios.map(({ policy }) => policy))];
  const row = (policy: string): ReadonlyArray<string> => {
    const own = ratios.filter((ratio) => ratio.policy === policy);
    const chosen = resamples(own.length);
    const mean = (over: ReadonlyArray<number>): string =>
      own.length < 2 ? over[0]?.toFixed(2) ?? "–" : shown(intervalOf([{ over, under: over.map(() => 1) }], ([x = NaN]) => x, chosen), 2);
    return [policy, mean(own.map(({ prefill }) => prefill)), mean(own.map(({ decode }) => decode))];
  };
  const documents = new Set(ratios.map(({ document }) => document)).size;
  return section("Speed next to the full cache", [
    `Tokens per second over those of the full cache, which was run right before on the same document: ${documents} document${
      documents === 1 ? "" : "s"
    } of ${tokens} tokens, ` +
    `one thread; above 1 is faster. Decode is the median of ${turns} turns of ${decoded} tokens, in which the two go one after the other. ` +
    "By `deno run -A tools/speed_ratios.ts " + `${documents} POLICY...\`.`,
  ], [{ titles: ["policy", "prefill", "decode"], rows: policies.map(row) }]);
}
