/**
 * What a cache belongs to: rows mean something to the model that made them, rotated as they are, and to the policy that goes on with them.
 * @module
 */
import { codecName } from "../cache/codec.ts";
import { sha256 } from "../cache/container.ts";
import type { LayerShape, Rope } from "../cache/shape.ts";
import type { PolicyPlan } from "../plan/types.ts";
import type { Model } from "./model.ts";
import type { ModelTensor } from "./types.ts";

/** Everything that must be the same where a cache is saved and where it is loaded. */
export interface Fingerprint {
  /** What the model's file calls it. */
  readonly model: string;
  /** SHA-256 of its weights, and whether they were taken out of their blocks: no activation is rounded then, and rows are others. */
  readonly weights: string;
  /** Heads and channels of its layers. */
  readonly shape: string;
  /** How its keys rotate. */
  readonly rope: string;
  /** How rows are stored where the policy does not say. */
  readonly rows: string;
  /** The policy's text. */
  readonly policy: string;
  /** SHA-256 of the networks that the policy scores with, or `none`. */
  readonly networks: string;
}

/** The fingerprint of caches of this model under this plan. */
export async function fingerprintOf(model: Model, { source: { policy, codec }, ports }: PolicyPlan): Promise<Fingerprint> {
  const { name, shape: { layers } } = model.spec;
  const { weights, networks } = await model.digests();
  return {
    model: name,
    weights: model.decoded ? `${weights}, decoded` : weights,
    shape: inRuns(layers.map(showLayer)),
    rope: inRuns(layers.map(({ rope }) => showRope(rope))),
    rows: codecName(codec),
    policy: policy.text,
    networks: ports.has("hidden") ? networks : "none",
  };
}

const showLayer = ({ queryHeads, kvHeads, keyDim, valueDim, scale, window }: LayerShape): string =>
  `${queryHeads}/${kvHeads} heads of ${keyDim}/${valueDim} channels, scale ${scale}${window === 0 ? "" : `, window ${window}`}`;

const showRope = ({ theta, dims, divisors }: Rope): string =>
  `theta ${theta}, ${dims} channels${divisors === undefined ? "" : `, divisors ${divisors.join(" ")}`}`;

/** `30 x a` for thirty times a. */
function inRuns(texts: ReadonlyArray<string>): string {
  const runs: { readonly text: string; readonly count: number }[] = [];
  for (const text of texts) {
    const last = runs[runs.length - 1];
    if (last?.text === text) runs[runs.length - 1] = { text, count: last.count + 1 };
    else runs.push({ text, count: 1 });
  }
  return runs.map(({ text, count }) => `${count} x ${text}`).join("; ");
}

/** SHA-256 over names, types, shapes and bytes of tensors, in their order. */
export async function digestOf(tensors: ReadonlyArray<ModelTensor>): Promise<string> {
  const lines: string[] = [];
  for (const { name, type, rows, cols, bytes } of tensors) lines.push(`${name} ${type} ${rows} ${cols} ${await sha256(bytes)}\n`);
  return await sha256(new TextEncoder().encode(lines.join("")));
}
