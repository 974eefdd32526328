/// <reference lib="dom" />
/**
 * The page's state as elements: each part is written again only where what it shows has changed.
 * @module
 */
import { showBytes } from "../../cache/show.ts";
import { rowsByHead, shareByPosition } from "./shares.ts";
import type { Kept, Reading } from "./messages.ts";
import { isBusy, type Page, type Run, shownRun } from "./state.ts";

/** An element that the page is known to have, as the kind that it is. */
export function element<A extends HTMLElement>(id: string, kind: new () => A): A {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} called ${id}`);
}

/** An element with attributes and content; a string is text, never markup. */
export function made(tag: string, attributes: Readonly<Record<string, string>>, ...content: ReadonlyArray<Node | string>): HTMLElement {
  const node = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  node.append(...content);
  return node;
}

/** Form, status and progress. */
export function renderForm(page: Page): void {
  const busy = isBusy(page);
  element("go", HTMLButtonElement).disabled = busy || page.backends.length === 0;
  element("stop", HTMLButtonElement).disabled = !busy || page.loading !== null;
  write("model-problem", page.problem ?? "");
  write("status", statusOf(page));
  write("spoken", spokenOf(page));
  const bar = element("progress", HTMLProgressElement);
  bar.hidden = !busy;
  const run = page.runs.find(({ phase }) => phase === "reading");
  bar.value = page.loading ?? (run?.reading == null ? 0 : run.reading.tokens / run.pieces.length);
}

/** Backends, once they are known; those that cannot be had are listed with the reason. */
export function renderBackends({ backends }: Page): void {
  const options = backends.map(({ name, obstacle }) =>
    made("option", { value: name, ...(obstacle === null ? {} : { disabled: "" }) }, obstacle === null ? name : `${name} (not here)`)
  );
  const select = element("backend", HTMLSelectElement);
  select.replaceChildren(...options);
  select.value = backends.find(({ obstacle }) => obstacle === null)?.name ?? "";
  const alone = crossOriginIsolated ? [] : ["served without isolation headers: wasm has one thread"];
  const missing = backends.flatMap(({ obstacle }) => obstacle === null ? [] : `${obstacle}: ${select.value} is used instead`);
  write("backend-note", [...missing, ...alone].map((note) => `${note}.`).join(" "));
}

function statusOf(page: Page): string {
  if (page.backends.length === 0) return "Looking for backends …";
  if (page.loading !== null) return "Loading the model …";
  const run = page.runs.findLast(({ phase }) => phase === "reading" || phase === "answering");
  if (run !== undefined) return `${run.phase === "reading" ? "Reading" : "Answering"} under ${run.policy} …`;
  const { opened } = page;
  return opened === null
    ? ""
    : `${opened.model}: ${opened.layers} layers, ${opened.heads} key-value heads, on ${opened.backend}, ${opened.hardware}.`;
}

/** What a screen reader hears when a run has ended. */
function spokenOf({ runs }: Page): string {
  const run = runs.findLast(({ phase }) => phase === "done");
  if (run === undefined || run.reading === null) return "";
  const { kept, total } = rowsOf(run.reading);
  return `${run.policy} kept ${percent(kept / total)} of the rows and answered: ${run.answer}`;
}

/** One card per run, each with its answer and its numbers. Cards of runs that stay as they are keep their elements, so the focus stays. */
export function renderAnswers(page: Page, before: Page, show: (run: number) => void): void {
  element("nothing", HTMLElement).hidden = page.runs.length > 0;
  const list = element("answers", HTMLOListElement);
  const cardOf = (run: Run): Element | null => list.querySelector(`[data-run="${run.id}"]`);
  before.runs.filter(({ id }) => !page.runs.some((run) => run.id === id)).forEach((run) => cardOf(run)?.remove());
  for (const run of page.runs) {
    const old = cardOf(run);
    if (old !== null && before.runs.includes(run) && (run.id === page.shown) === (run.id === before.shown)) continue;
    const focused = old?.contains(document.activeElement) ?? false;
    const next = card(run, page.runs.find(({ policy }) => policy === "keepall"), run.id === page.shown, show);
    if (old === null) list.append(next);
    else old.replaceWith(next);
    if (focused) next.querySelector("button")?.focus();
  }
}

/** How an answer compares with that of the whole cache, once both are there. */
function sameAs(run: Run, whole: Run | undefined): string {
  if (whole?.phase !== "done" || run.phase !== "done") return "";
  return run.answer.trim() === whole.answer.trim() ? "the answer of the whole cache" : "another answer than the whole cache's";
}

function card(run: Run, whole: Run | undefined, shown: boolean, show: (run: number) => void): HTMLElement {
  const button = made("button", { type: "button", "aria-pressed": String(shown), title: "Show the rows of this policy" }, run.policy);
  const about = run.policy === "keepall" ? "the whole cache" : sameAs(run, whole);
  button.addEventListener("click", () => show(run.id));
  const { reading } = run;
  const waits = run.answer === "" && run.problem === null;
  const answer = waits
    ? made("p", { class: "answer empty" }, run.phase === "done" ? "(an empty answer)" : run.phase === "stopped" ? "stopped" : "…")
    : made("p", { class: "answer" }, run.answer);
  return made(
    "li",
    { "data-run": String(run.id), "data-phase": run.phase, ...(shown ? { class: "shown" } : {}) },
    button,
    ...(run.problem === null
      ? [answer, made("p", { class: "note" }, about)]
      : [made("p", { class: "problem", role: "alert" }, run.problem)]),
    ...(reading === null ? [] : [meter(reading), numbers(run, reading)]),
  );
}

const meter = ({ bytes, bytesFull }: Reading): HTMLElement => {
  const bar = made("div", {});
  bar.style.width = `${Math.min(100, 100 * bytes / bytesFull)}%`;
  return made("div", { class: "meter", "aria-hidden": "true" }, bar);
};

/** Rows over all layers and heads: kept, and seen. */
const rowsOf = ({ rows, tokens }: Reading): { readonly kept: number; readonly total: number } => ({
  kept: rows.flat().reduce((sum, n) => sum + n, 0),
  total: rows.flat().length * tokens,
});

function numbers(run: Run, reading: Reading): HTMLElement {
  const { bytes, bytesBeside, bytesFull, tokensPerSecond } = reading;
  const { kept, total } = rowsOf(reading);
  const lines: ReadonlyArray<readonly [string, string]> = [
    ["Rows kept", `${grouped(kept)} of ${grouped(total)} (${percent(kept / total)})`],
    ["Memory", `${showBytes(bytes)} (${percent(bytes / bytesFull)})`],
    ["of it, not rows", showBytes(bytesBeside)],
    ["Whole cache in f16", showBytes(bytesFull)],
    ["Reading", rate(tokensPerSecond)],
    ["Writing", run.tokensPerSecond === null ? "–" : rate(run.tokensPerSecond)],
  ];
  return made("dl", { class: "numbers" }, ...lines.flatMap(([name, value]) => [made("dt", {}, name), made("dd", {}, value)]));
}

const grouped = (n: number): string => n.toLocaleString("en");
/** The sign stays on the line of its number. */
const percent = (share: number): string => `${(100 * share).toFixed(1)}\u00a0%`;
const rate = (perSecond: number): string => `${perSecond.toFixed(perSecond < 100 ? 1 : 0)} tokens/s`;

/** Rows per layer and head as a table. */
export function renderTable(reading: Reading | null): void {
  const rows = reading?.rows ?? [];
  const heads = Math.max(0, ...rows.map((layer) => layer.length));
  const headings = made("tr", {}, made("th", { scope: "col" }, "Layer"), ...times(heads, (h) => made("th", { scope: "col" }, `Head ${h}`)));
  const body = rows.map((layer, l) =>
    made("tr", {}, made("th", { scope: "row" }, String(l)), ...layer.map((kept) => made("td", {}, grouped(kept))))
  );
  element("rows", HTMLTableElement).replaceChildren(made("thead", {}, headings), made("tbody", {}, ...body));
}

const times = <A>(count: number, make: (i: number) => A): ReadonlyArray<A> => Array.from({ length: count }, (_, i) => make(i));

/** What the pictures show, for those who do not see them. */
export function describePlots(kept: Kept | null): void {
  const rows = kept === null ? [] : rowsByHead(kept);
  const share = kept === null ? new Float32Array() : shareByPosition(kept);
  const [none, all] = [share.filter((s) => s === 0).length, share.filter((s) => s > 0.999).length];
  element("map", HTMLCanvasElement).ariaLabel = `Rows kept per head: from ${Math.min(...rows)} to ${Math.max(...rows)} of ${
    kept?.tokens ?? 0
  }.`;
  element("strip", HTMLCanvasElement).ariaLabel = `${all} of ${share.length} positions are kept by every head, ${none} by none.`;
}

/** The heading of what is shown, and whether it is. */
export function renderShown(page: Page): void {
  const run = shownRun(page);
  element("detail", HTMLElement).hidden = run?.kept == null;
  write("shown-policy", run?.policy ?? "");
}

/** Text of an element, written only where it differs: live regions speak when they are written. */
export function write(id: string, text: string): void {
  const node = element(id, HTMLElement);
  if (node.textContent !== text) node.textContent = text;
}
