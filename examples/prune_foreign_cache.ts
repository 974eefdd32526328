/**
 * A cache that another runtime made: tensors `past_key_values.{l}.key` and `.value` of [batch, kvHeads, length, dim] in, as transformers.js
 * has them, smaller ones out, with the mask and the positions for the next token.
 * Run with `deno run -A examples/prune_foreign_cache.ts`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { openMemory, openReference, orThrow, type PastKeyValues, prunePast, showError, stepInputs } from "../mod.ts";
import { keyDiff, parsePolicy } from "../papers/mod.ts";

const [batch, kvHeads, length, dim] = [2, 2, 40, 8];

// Stands for what a session gave: two sequences, of which the second was padded in front by 16 columns.
const wave = (phase: number) => Float32Array.from({ length: batch * kvHeads * length * dim }, (_, i) => Math.sin(i * i * 0.01 + phase));
const past: PastKeyValues = Object.fromEntries([0, 1].flatMap((l) => [
  [`past_key_values.${l}.key`, { dims: [batch, kvHeads, length, dim], data: wave(l) }],
  [`past_key_values.${l}.value`, { dims: [batch, kvHeads, length, dim], data: wave(l + 2) }],
]));
const attentionMask = {
  dims: [batch, length],
  data: Array.from({ length: batch * length }, (_, i) => i < length + 16 && i >= length ? 0 : 1),
};

await using backend = await orThrow(openReference());
using memory = openMemory(backend);

// The same rows for every head: tensors, mask and positions go straight into the next call of the session.
const small = await orThrow(prunePast(memory, keyDiff({ rows: 12 }))(past, { attentionMask }));
const next = await orThrow(stepInputs(small, 1));
console.log(`key of layer 0: ${small.tensors["past_key_values.0.key"]?.dims.join(" x ")}`);
console.log(`attention_mask: ${next.attention_mask.dims.join(" x ")}, position_ids: ${next.position_ids.data.join(", ")}`);

// Heads that compete keep different numbers of rows. Padded tensors and a mask per head say so; one mask for all heads cannot.
const ragged = await orThrow(prunePast(memory, await orThrow(parsePolicy("knorm(12)|ada(20%)")))(past, { attentionMask }));
const rows = ragged.positions[0]?.flat().map((head) => head.length);
console.log(
  `knorm(12)|ada(20%) keeps ${rows?.join(", ")} rows, padded to ${ragged.kept}; mask per head: ${ragged.headMasks["0"]?.dims.join(" x ")}`,
);
const refused = stepInputs(ragged, 1);
if (E.isLeft(refused)) console.log(showError(refused.left));
