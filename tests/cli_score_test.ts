import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { readSafetensors, tensorNumbers } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";
import { folder, induction, kvfold, written } from "./support/command_line.ts";

const text = written("score.txt", "one fish, two fish");

Deno.test("kvfold score writes a score per KV head and byte of the text for each layer of the embedded model", async () => {
  const out = join(folder, "score.safetensors");
  assertEquals(await kvfold("score", ...induction, "--text", text, "--scorer", "kvzip", "--out", out), {
    code: 0,
    out: `${out}\n`,
    err: "",
  });
  const file = await orThrow(readSafetensors("score", await Deno.readFile(out)));
  assertEquals([...file.tensors].map(([name, { shape }]) => [name, shape]), [["layer.0", [2, 18]], ["layer.1", [2, 18]]]);
  // The model repeats by attending to the row it needs: every row of layer 1 is needed once.
  const scores = [...file.tensors.values()].map(tensorNumbers);
  assert(scores.every((s) => s.every((x) => x >= 0 && x <= 1)) && (scores[1]?.some((x) => x > 0.9) ?? false));
});

Deno.test("kvfold score without weights, with an unknown scorer or nowhere to write gives one sentence and leaves no file", async () => {
  const out = join(folder, "none", "score.safetensors");
  const run = (scorer: string) => kvfold("score", ...induction, "--text", text, "--scorer", scorer, "--out", out);
  const refused = await Promise.all(["kvzap-mlp", "guess", "kvzip"].map(run));
  assertEquals(refused.map(({ code, err }) => [code, err.trim().split("\n").length]), [[1, 1], [1, 1], [1, 1]]);
  assertStringIncludes(refused[1]?.err ?? "", "kvzip+-training");
  assertEquals(await Deno.stat(out).catch(() => null), null);
});
