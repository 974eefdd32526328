/// <reference lib="dom" />
/**
 * The page: what a person does becomes requests to the worker, what the worker reports becomes the page's next state.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { showError } from "../../cache/error.ts";
import { cards, parsePolicy } from "../../papers/mod.ts";
import { backendNames, type ModelSource, type Report, type Request } from "./messages.ts";
import { paintMap, paintStrip } from "./paint.ts";
import { register, type Sample, story } from "./samples.ts";
import { empty, type Event, isBusy, next, type Page, shownRun } from "./state.ts";
import { pointAt, positionUnder, renderLevels, renderPieces } from "./text_view.ts";
import { describePlots, element, made, renderAnswers, renderBackends, renderForm, renderShown, renderTable, write } from "./view.ts";

const WHOLE = "keepall";
/** Longest answers, tokens: a sentence, or a number of the built-in model's list. */
const ANSWER_TOKENS: Readonly<Record<ModelSource["_tag"], number>> = { File: 48, BuiltIn: 4 };

const field = (id: string): HTMLInputElement => element(id, HTMLInputElement);
const area = (): HTMLTextAreaElement => element("document", HTMLTextAreaElement);

/** Everything on the page that a change of state may concern. */
function render(page: Page, before: Page, show: (run: number) => void): void {
  renderForm(page);
  if (page.backends !== before.backends) renderBackends(page);
  if (page.runs !== before.runs || page.shown !== before.shown) renderAnswers(page, before, show);
  const [run, old] = [shownRun(page), shownRun(before)];
  renderShown(page);
  if (run?.pieces !== old?.pieces) renderPieces(run?.pieces ?? []);
  if (run?.kept !== old?.kept || run?.pieces !== old?.pieces) {
    renderLevels(run?.kept ?? null);
    paint(page);
    describePlots(run?.kept ?? null);
    pointAt(Number(field("position").value), run?.kept ?? null);
  }
  if (run?.reading !== old?.reading) renderTable(run?.reading ?? null);
}

function paint(page: Page): void {
  const run = shownRun(page);
  paintMap(element("map", HTMLCanvasElement), run?.kept ?? null, run?.reading?.rows.map((heads) => heads.length) ?? []);
  paintStrip(element("strip", HTMLCanvasElement), run?.kept ?? null);
}

/** The policy's text, checked as it is typed. True if it means something. */
function checkPolicy(): boolean {
  const parsed = parsePolicy(field("policy").value);
  write("policy-problem", E.isLeft(parsed) ? showError(parsed.left) : "");
  field("policy").setAttribute("aria-invalid", String(E.isLeft(parsed)));
  return E.isRight(parsed);
}

/** The methods that stand alone, by the example of each card. */
function listPapers(): void {
  const alone = cards.filter(({ name, example }) => name !== WHOLE && E.isRight(parsePolicy(example)));
  const select = element("paper", HTMLSelectElement);
  select.append(made("option", { value: "", disabled: "" }, "a policy of your own"));
  select.append(...alone.map(({ name, example }) => made("option", { value: example }, name)));
  // The list follows the text: it shows the one method that the text begins with.
  const follow = (): void => {
    const card = alone.find(({ name }) => field("policy").value.trim().replace(/[^a-z0-9].*$/s, "") === name);
    select.value = card?.example ?? "";
    write("paper-note", card === undefined ? "" : `${card.title} (arXiv ${card.arxiv}).${needsOf(card.name)}`);
  };
  select.addEventListener("change", () => {
    field("policy").value = quartered(select.value);
    follow();
    checkPolicy();
  });
  field("policy").addEventListener("input", follow);
  field("policy").value = "snapkv(25%, window=16)";
  follow();
}

/** What a method needs beside the text. */
const needsOf = (name: string): string =>
  name === "kvzap" ? " Needs a network trained for the model: one for SmolLM2-135M-Instruct comes along." : "";

/** An example with a quarter of the text as its budget, where its budget is a count: a page's text is short. */
const quartered = (example: string): string => {
  const shared = example.replace(/\(\d+/, "(25%");
  return E.isRight(parsePolicy(shared)) ? shared : example;
};

/** The model that is asked for, or why there is none. */
function modelAsked(): E.Either<string, ModelSource> {
  if (document.querySelector<HTMLInputElement>('input[name="source"]:checked')?.value !== "file") return E.right({ _tag: "BuiltIn" });
  const file = field("file").files?.[0];
  return file === undefined ? E.left("Choose a GGUF file, or take the built-in model.") : E.right({ _tag: "File", file });
}

const nameOf = (source: ModelSource): string =>
  source._tag === "BuiltIn" ? "" : `${source.file.name} ${source.file.size} ${source.file.lastModified}`;

/** Wires everything up. */
function start(): void {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  const post = (request: Request): void => worker.postMessage(request);
  let page = empty;
  let open = "";
  let runs = 0;
  const happen = (event: Event): void => {
    const before = page;
    page = next(page, event);
    if (event._tag === "Failed" && event.gone) open = "";
    if (event._tag === "Moved") {
      element("backend", HTMLSelectElement).value = "wasm";
      open = open.replace(/^\S+/, "wasm");
    }
    render(page, before, (run) => happen({ _tag: "Shown", run }));
  };
  const ask = (): void => {
    const source = modelAsked();
    if (E.isLeft(source)) return happen({ _tag: "Failed", run: null, sentence: source.left, gone: true });
    if (!checkPolicy()) return field("policy").focus();
    const backend = backendNames.find((name) => name === element("backend", HTMLSelectElement).value) ?? "wasm";
    const wanted = `${backend} ${nameOf(source.right)}`;
    if (wanted !== open) {
      open = wanted;
      happen({ _tag: "Opening" });
      post({ _tag: "Open", backend, model: source.right });
    }
    const texts = { document: area().value, question: field("question").value, maxNewTokens: ANSWER_TOKENS[source.right._tag] };
    const task = JSON.stringify([wanted, texts]);
    const beside = task === page.task && page.runs.some(({ policy, phase }) => policy === WHOLE && phase === "done");
    const policy = field("policy").value.trim();
    const policies = beside ? [policy] : [...new Set([WHOLE, policy])];
    const asked = policies.map((policy) => ({ id: ++runs, policy }));
    happen({ _tag: "Asked", task, beside, runs: asked });
    bringIntoView();
    asked.forEach(({ id, policy }) => post({ _tag: "Run", run: id, ask: { ...texts, policy } }));
  };
  worker.addEventListener("message", ({ data }: MessageEvent<Report>) => happen(data));
  worker.addEventListener(
    "error",
    ({ message }) => happen({ _tag: "Failed", run: null, sentence: `The worker failed: ${message}`, gone: true }),
  );
  element("form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isBusy(page)) ask();
  });
  element("stop", HTMLButtonElement).addEventListener("click", () => post({ _tag: "Stop" }));
  wirePlot(() => page);
  wireTexts();
  listPapers();
  checkPolicy();
  fill(register);
  renderForm(page);
}

/** Where the results lie below the form, on a narrow screen, they are scrolled to. */
function bringIntoView(): void {
  const results = element("results", HTMLElement);
  if (results.getBoundingClientRect().top > innerHeight * 0.8) results.scrollIntoView({ block: "start" });
}

function fill({ document, question }: Sample): void {
  area().value = document;
  field("question").value = question;
}

/** Model and text fields: samples fit the model, dropped files are taken. */
function wireTexts(): void {
  const isFile = (): boolean => document.querySelector<HTMLInputElement>('input[name="source"]:checked')?.value === "file";
  const sampleHere = (): Sample => isFile() ? story : register;
  const choose = (value: string): void => {
    const other = isFile() ? story : register;
    const radio = document.querySelector<HTMLInputElement>(`input[name="source"][value="${value}"]`);
    if (radio !== null) radio.checked = true;
    if (area().value === other.document) fill(sampleHere());
  };
  document.querySelectorAll('input[name="source"]').forEach((radio) =>
    radio.addEventListener("change", () => [register, story].some((s) => s.document === area().value) && fill(sampleHere()))
  );
  field("file").addEventListener("change", () => choose("file"));
  const drop = element("drop", HTMLElement);
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if ((event.dataTransfer?.files.length ?? 0) === 0) return;
    field("file").files = event.dataTransfer?.files ?? null;
    choose("file");
  });
  element("sample", HTMLButtonElement).addEventListener("click", () => fill(sampleHere()));
  field("text-file").addEventListener("change", async () => area().value = await field("text-file").files?.[0]?.text() ?? area().value);
  field("policy").addEventListener("input", checkPolicy);
}

/** The cursor, and what depends on size and colours. */
function wirePlot(page: () => Page): void {
  const kept = () => shownRun(page())?.kept ?? null;
  const plot = document.querySelector<HTMLElement>(".plot");
  plot?.addEventListener("pointermove", (event) => pointAt(positionUnder(event, kept()?.tokens ?? 0), kept()));
  field("position").addEventListener("input", () => pointAt(Number(field("position").value), kept()));
  element("text", HTMLElement).addEventListener("pointerover", ({ target }) => {
    const position = target instanceof HTMLElement ? target.dataset["position"] : undefined;
    if (position !== undefined) pointAt(Number(position), kept());
  });
  const again = (): void => {
    paint(page());
    pointAt(Number(field("position").value), kept());
  };
  if (plot !== null) new ResizeObserver(again).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}

start();
