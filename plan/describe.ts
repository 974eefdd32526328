/**
 * A plan as text: storage by layer range, then for each point the ops of each layer range. Golden files pin it.
 * @module
 */
import { pipe } from "fp-ts/function.js";
import * as S from "fp-ts/State.js";
import { type Instr, NONE, type Slot } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { LayerShape } from "../cache/shape.ts";
import { bound, emptyDraft } from "./draft.ts";
import type { Draft, LayerPlan, LayerSlots, PolicyPlan, SplicePoint, Target } from "./types.ts";

/** A plan that is not described yet. */
export type PlanParts = Omit<PolicyPlan, "describe">;

/** The text of a plan. Equal neighbours are printed once, as a range of layers. */
export function describePlan(plan: PlanParts, target: Target): string {
  const { shape, promptTokens, chunk } = target;
  const count = shape.layers.length;
  const head = `plan ${plan.text}: ${count} layers, prompt of ${promptTokens} tokens, chunks of ${chunk}`;
  const storage = byRange(plan.layers.map((layer, l) => storageLine(layer, l)), "  ");
  const read = plan.reconstructions.flatMap(({ column, score: { _tag, ...of }, layers }) => [
    "before the end of prefill, by reading the prompt again",
    `  column ${column} of ${layers.length} layers {${Object.entries(of).map(([name, value]) => `${name}=${value}`).join(" ")}}`,
  ]);
  const ops = pointsOf(plan, chunk).flatMap((point) => {
    const lines = byRange(shape.layers.map((layer, l) => opLines(splicedOps(plan, layer, l, point), l)), "  ");
    const before = byRange(shape.layers.map((layer, l) => opLines(selectedOps(plan, layer, l, point), l)), "  ");
    const section = (name: string, part: ReadonlyArray<string>): ReadonlyArray<string> => part.length === 0 ? [] : [name, ...part];
    return [...section("before the attention of each decoded token", before), ...section(pointName(point), lines)];
  });
  const stored = plan.coding === null ? [] : [codingLine(plan.coding)];
  const joint = opLines(jointOps(plan, shape), -1);
  const across = joint === "" ? [] : ["at the end of prefill, across layers", ...joint.split("\n").map((line) => `    ${line}`)];
  const turned = plan.rerotates ? ["then positions without gaps, and keys turned to them"] : [];
  return [head, "storage", ...storage, ...stored, ...read, ...ops, ...across, ...turned, ""].join("\n");
}

const codingLine = ({ ratio, sinks, recent }: NonNullable<PolicyPlan["coding"]>): string =>
  `  from the end of prefill on: coefficients in 1/${ratio} of 16 bits, ${sinks} sinks and the newest ${recent} positions exact`;

function storageLine(layer: LayerPlan, index: number): string {
  if (layer.readsFrom !== index) return `reads the rows of layer ${layer.readsFrom}`;
  const columns = layer.columns.map((c) => `, column ${c.name} from ${c.initial}`).join("");
  const ring = layer.recentQueries === 0 ? "" : `, last ${layer.recentQueries} queries`;
  const rows = layer.rowsBound === null ? "" : `, at most ${layer.rowsBound} rows a head after each append`;
  return `keys ${codecName(layer.keyCodec)}, values ${codecName(layer.valueCodec)}${storeText(layer)}${columns}${ring}${
    pagesText(layer)
  }${rows}`;
}

const pagesText = ({ pages }: LayerPlan): string =>
  pages === null
    ? ""
    : pages.labels === null
    ? `, bounds of pages of ${pages.rows} rows`
    : `, centroids of ${pages.labels}, one in ${pages.rows} slots`;

const storeText = ({ store }: LayerPlan): string =>
  store === null
    ? ""
    : `, after ${store.recent} positions keys ${codecName(store.keyCodec)}, values ${codecName(store.valueCodec)} by ${store.group}${
      store.judged ? ", judged there too" : ""
    }`;

function pointName(point: SplicePoint): string {
  if (point._tag === "AfterChunk") return "after each chunk";
  if (point._tag === "PrefillEnd") return "at the end of prefill";
  return point.every.length === 0 ? "after each decoded token" : `after every ${point.every.join(", ")} decoded tokens`;
}

function opLines({ values, body }: Draft, layer: number): string {
  const name = (slot: Slot): string => {
    const value = values[slot];
    if (slot === NONE || value === undefined) return "-";
    // Weights are called alike in all layers, so that layers that do the same print the same.
    return value._tag === "Temp" ? `%${slot}` : value._tag === "Weight" ? value.name.replace(`.${layer}.`, ".l.") : value.name;
  };
  // Optional operands come last: those that are absent need not be said.
  const given = ({ args }: Instr): ReadonlyArray<Slot> => args.slice(0, args.findLastIndex((slot) => slot !== NONE) + 1);
  return body.map((instr) => `${instr.op} ${given(instr).map(name).join(" ")}${paramText(instr)}`).join("\n");
}

/** The `count` of `map` is left out: it is the capacity of the moment, not part of the plan. */
function paramText({ op, params }: Instr): string {
  const shown = Object.entries(params).filter(([name]) => !(op === "map" && name === "count"));
  return shown.length === 0 ? "" : ` {${shown.map(([name, value]) => `${name}=${value}`).join(" ")}}`;
}

/** The ops one layer gets at a point, spliced into an empty program. */
export function splicedOps(plan: PlanParts, shape: LayerShape, layer: number, point: SplicePoint): Draft {
  const planned = plan.layers[layer];
  if (planned === undefined) return emptyDraft;
  const [slots, draft] = exampleSlots(planned, shape, point, plan.ports.has("rawKeys"))(emptyDraft);
  return plan.splice(point, layer, slots)(draft);
}

/** The ops that choose what the query of one layer reads at a point, in an empty program. */
export function selectedOps(plan: PlanParts, shape: LayerShape, layer: number, point: SplicePoint): Draft {
  const planned = plan.layers[layer];
  if (planned === undefined) return emptyDraft;
  const [slots, draft] = exampleSlots(planned, shape, point, plan.ports.has("rawKeys"))(emptyDraft);
  return plan.select(point, layer, slots)(draft)[1];
}

/** The ops of layers that decide together, in an empty program. */
export function jointOps(plan: PlanParts, { layers }: Pick<Target["shape"], "layers">): Draft {
  const point: SplicePoint = { _tag: "PrefillEnd" };
  const [all, draft] = plan.jointAt(point).reduce<readonly [ReadonlyArray<{ readonly layer: number; readonly slots: LayerSlots }>, Draft]>(
    ([before, d], layer) => {
      const [planned, shape] = [plan.layers[layer], layers[layer]];
      if (planned === undefined || shape === undefined) return [before, d];
      const [slots, next] = exampleSlots(planned, shape, point, false)(d);
      return [[...before, { layer, slots }], next];
    },
    [[], emptyDraft],
  );
  return plan.spliceJoint(point, all)(draft);
}

/** Every point at which blocks of a plan may act. */
export const pointsOf = (plan: PlanParts, chunk: number): ReadonlyArray<SplicePoint> => [
  { _tag: "AfterChunk", m: chunk },
  { _tag: "PrefillEnd" },
  { _tag: "AfterStep", every: [] },
  ...plan.periods.map((n): SplicePoint => ({ _tag: "AfterStep", every: [n] })),
];

function exampleSlots(plan: LayerPlan, shape: LayerShape, point: SplicePoint, raw: boolean): S.State<Draft, LayerSlots> {
  const kept = plan.store?.judged === true ? plan.columns : [];
  const names = [
    ...["queries", "lse", "queryPosition", "newest", "keys", "values", "position", "layout", "hidden"],
    ...plan.recentQueries === 0 ? [] : ["recent.queries", "recent.lse", "recent.position"],
    ...plan.columns.map(({ name }) => `column.${name}`),
    ...plan.store === null ? [] : ["store.keys", "store.values", "store.position", "store.layout"],
    ...plan.store === null ? [] : kept.map(({ name }) => `store.column.${name}`),
    ...plan.pages !== null ? ["bounds"] : [],
    ...raw ? ["rawKeys", "newKeys"] : [],
  ];
  return pipe(
    S.sequenceArray(names.map(bound)),
    S.map((all): LayerSlots => {
      const at = (name: string): Slot => all[names.indexOf(name)] ?? NONE;
      const inRun = (name: string): Slot => point._tag === "PrefillEnd" ? NONE : at(name);
      const columns = (of: LayerPlan["columns"], prefix: string): LayerSlots["columns"] =>
        Object.fromEntries(of.map(({ name }) => [name, at(`${prefix}${name}`)]));
      return {
        queries: inRun("queries"),
        lse: inRun("lse"),
        queryPosition: inRun("queryPosition"),
        hidden: inRun("hidden"),
        rawKeys: inRun("rawKeys"),
        newKeys: inRun("newKeys"),
        tokenClass: NONE,
        newest: at("newest"),
        keys: at("keys"),
        values: at("values"),
        position: at("position"),
        layout: at("layout"),
        columns: columns(plan.columns, "column."),
        store: plan.store === null ? null : {
          keys: at("store.keys"),
          values: at("store.values"),
          position: at("store.position"),
          layout: at("store.layout"),
          columns: columns(kept, "store.column."),
          capacity: shape.kvHeads,
        },
        bounds: at("bounds"),
        capacity: shape.kvHeads,
        recent: plan.recentQueries === 0 ? null : { queries: at("recent.queries"), lse: at("recent.lse"), position: at("recent.position") },
      };
    }),
  );
}

/** Texts of layers as lines under their range: `layers 0-3`. Empty texts are left out. */
function byRange(texts: ReadonlyArray<string>, indent: string): ReadonlyArray<string> {
  const lines: string[] = [];
  let from = 0;
  texts.forEach((text, l) => {
    if (texts[l + 1] === text) return;
    if (text !== "") {
      lines.push(`${indent}${from === l ? `layer ${l}` : `layers ${from}-${l}`}`, ...text.split("\n").map((t) => indent + indent + t));
    }
    from = l + 1;
  });
  return lines;
}
