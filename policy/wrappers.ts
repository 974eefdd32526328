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
import { makes, type Registry, rewrites } from "./term.ts";
import type { Budget, Protect } from "./types.ts";
import { encode } from "./verb.ts";

const plain = (name: string, about: string) => ({ name, about, params: {}, defaults: {} });

const codec = (name: string) => param.choice(name, rowCodecs);

/** `encode`, `streaming`, `decoding`, `every`, `at`, `layers`, `budget`, `perlayer`, `protect`. */
export const wrappers: Registry = [
  makes<{ readonly keys: RowCodec; readonly values: RowCodec }>(
    {
      name: "encode",
      about: "stores rows so from the start: f32, f16 or codes of 8, 4 or 2 bits; when every row must stay at fewer bytes",
      params: { keys: codec("keys"), values: codec("values") },
      defaults: { keys: "q8", values: "q4" },
    },
    ({ keys, values }) => policy(`encode(${keys}${values === "q4" ? "" : `, values=${values}`})`, [block(build, [encode(keys, values)])]),
  ),
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
