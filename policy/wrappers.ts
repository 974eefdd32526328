/**
 * The policies and rewrites that are no paper of their own, as names of the short text form.
 * @module
 */
import { type RowCodec, rowCodecs } from "../cache/codec.ts";
import { rows } from "./budget.ts";
import { allLayers, build, prefillEnd } from "./moment.ts";
import * as param from "./param.ts";
import { block, policy } from "./policy.ts";
import { at, decoding, everySteps, merging, onLayers, perLayer, protect, rerotating, streaming, withBudget } from "./rewrite.ts";
import { makes, type Registry, rewrites, showTerm, type Term } from "./term.ts";
import type { Budget, Moment, Protect } from "./types.ts";
import { encode } from "./verb.ts";

const plain = (name: string, about: string) => ({ name, about, params: {}, defaults: {} });

const codec = (name: string) => param.choice(name, rowCodecs);

interface Encodes {
  readonly keys: RowCodec;
  readonly values: RowCodec;
  readonly at: Moment;
  readonly recent: number;
}

const encodes: Term<Encodes> = {
  name: "encode",
  about: "stores rows so from the start, or from another moment on those that are old: f32, f16 or codes of 8, 4 or 2 bits",
  params: {
    keys: codec("keys"),
    values: codec("values"),
    at: { ...param.moment, name: "at" },
    recent: param.count("recent", 0, param.maxRows),
  },
  defaults: { keys: "q8", values: "q4", at: build, recent: 0 },
};

/** `encode`, `streaming`, `decoding`, `merge`, `rerotate`, `every`, `at`, `layers`, `budget`, `perlayer`, `protect`. */
export const wrappers: Registry = [
  makes(encodes, (o) => policy(showTerm(encodes)(o), [block(o.at, [encode(o.keys, o.values, o.recent)])])),
  rewrites(
    plain("streaming", "decide after every chunk of the prompt and every token, so that memory stays at the budget"),
    () => streaming,
  ),
  rewrites(plain("decoding", "hold the budget after every decoded token too"), () => decoding),
  rewrites(plain("merge", "fold the values of rows that leave into their nearest survivors"), () => merging),
  rewrites(
    plain(
      "rerotate",
      "after the prompt, positions without gaps and keys turned to them; when texts run on beyond what the model was made for",
    ),
    () => rerotating,
  ),
  rewrites(
    { name: "every", about: "act at every n-th decoded token", params: { n: param.count("n", 1, param.maxRows) }, defaults: { n: 16 } },
    ({ n }) => everySteps(n),
  ),
  rewrites(
    { name: "at", about: "act at this moment", params: { moment: param.moment }, defaults: { moment: prefillEnd } },
    ({ moment }) => at(moment),
  ),
  rewrites(
    { name: "layers", about: "act on these layers only", params: { layers: param.layers }, defaults: { layers: allLayers } },
    ({ layers }) => onLayers(layers),
  ),
  rewrites(
    { name: "budget", about: "keep this many rows", params: { budget: param.size }, defaults: { budget: rows(1024) } },
    ({ budget }) => withBudget(budget),
  ),
  rewrites<{ readonly budgets: ReadonlyArray<Budget> }>(
    { name: "perlayer", about: "one budget per layer", params: { budgets: param.budgets }, defaults: { budgets: [rows(1024)] } },
    ({ budgets }) => perLayer(budgets),
  ),
  rewrites<Protect>(
    {
      name: "protect",
      about: "rows that always stay: the first and the newest",
      params: { sinks: param.count("sinks", 0, param.maxRows), recent: param.recentRows },
      defaults: { sinks: 4, recent: 0 },
    },
    protect,
  ),
];
