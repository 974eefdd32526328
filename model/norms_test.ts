import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openReference } from "../backends/reference/mod.ts";
import { showError } from "../cache/error.ts";
import { orThrow } from "../run/mod.ts";
import { NORMS, normsDigest } from "./norms.ts";
import { inductionModel } from "./induction.ts";
import { openModel } from "./model.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";
import type { ModelFile } from "./types.ts";

const model = inductionModel();

/** The model with one tensor changed. */
const changed = (name: string, change: (bytes: Uint8Array) => Uint8Array): ModelFile => ({
  ...model,
  tensors: new Map([...model.tensors].map(([key, tensor]) => [key, key === name ? { ...tensor, bytes: change(tensor.bytes) } : tensor])),
});
const bump = (bytes: Uint8Array): Uint8Array => bytes.map((b, i) => i === bytes.length - 1 ? b ^ 1 : b);

Deno.test("the digest changes with the last bit of a norm and not with a matrix, which quantisation changes", async () => {
  const own = await normsDigest(model);
  assert(/^[0-9a-f]{64}$/.test(own), own);
  assertEquals(await normsDigest({ tensors: new Map([...model.tensors].toReversed()) }), own);
  assertEquals(await normsDigest(changed("blk.0.attn_q.weight", bump)), own);
  for (const name of ["blk.0.attn_norm.weight", "output_norm.weight"]) assertNotEquals(await normsDigest(changed(name, bump)), own);
});

Deno.test("weights made for another model of the same sizes are refused; those that name no model are taken", async () => {
  await using backend = await orThrow(openReference());
  const weights = async (metadata: ReadonlyMap<string, string>) => {
    const tensors = [0, 1].flatMap((l) => [
      { name: `layers.${l}.weight`, type: "F32", shape: [2, 216], numbers: new Float32Array(432) } as const,
      { name: `layers.${l}.bias`, type: "F32", shape: [2], numbers: new Float32Array(2) } as const,
    ]);
    return { "kvzap-linear": await orThrow(readSafetensors("other.safetensors", await orThrow(writeSafetensors(tensors, metadata)))) };
  };
  const open = async (metadata: ReadonlyMap<string, string>) => {
    const opened = await openModel(backend, model, { surrogates: await weights(metadata) })();
    if (E.isRight(opened)) await opened.right.close();
    return E.isLeft(opened) ? showError(opened.left) : "taken";
  };
  assertEquals(await open(new Map()), "taken");
  assertEquals(await open(new Map([[NORMS, await normsDigest(model)]])), "taken");
  const refused = await open(new Map([[NORMS, "0123456789abcdef"], ["model", "Elsewhere-1B"]]));
  for (const part of ["other.safetensors", "0123456789abcdef… (Elsewhere-1B)", (await normsDigest(model)).slice(0, 16), "induction"]) {
    assertStringIncludes(refused, part);
  }
  assertEquals(backend.liveBytes().weights, 0, "a refusal leaves nothing in the backend");
});
