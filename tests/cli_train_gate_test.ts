/**
 * `kvfold train gate` on the embedded model, and what `kvfold train` says of all its kinds.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { inductionModel } from "../model/induction.ts";
import { normsDigest } from "../model/norms.ts";
import { readSafetensors } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";
import { folder, induction, kvfold, written } from "./support/command_line.ts";

/** Two files of words, the second of which is held out. */
const texts = join(folder, "gate-texts");
Deno.mkdirSync(texts, { recursive: true });
const words = "the old ship left a quiet harbour with grain and salt while rain fell on every roof of town".split(" ");
for (const file of [1, 2]) {
  written(join("gate-texts", `${file}.txt`), Array.from({ length: 300 }, (_, i) => words[(i * i + 7 * file * i) % words.length]).join(" "));
}
const sizes = ["--tokens", "90", "--window", "30", "--inner", "4", "--epochs", "2", "--threads", "1"];
const train = (out: string, ...more: ReadonlyArray<string>) =>
  kvfold("train", "gate", ...induction, "--documents", texts, ...sizes, "--out", join(folder, out), ...more);

Deno.test("a gate is written with the fingerprint of its model, is the same file again, and prunes by --surrogate", async () => {
  const made = await train("a.safetensors", "--json");
  assertEquals(made.code, 0, made.err);
  const { heads, tokens } = JSON.parse(made.out);
  assertEquals(tokens, 90);
  for (const { admitted, distance, windowAlone } of heads) {
    assert(admitted >= 0 && admitted <= 1 && distance >= 0 && windowAlone >= 0);
    assert(admitted < 1 || distance < 1e-12, "a gate that admits all loses nothing");
  }
  const bytes = await Deno.readFile(join(folder, "a.safetensors"));
  const { metadata } = await orThrow(readSafetensors("a", bytes));
  assertEquals(metadata.get("model.norms"), await normsDigest(inductionModel()));
  assertEquals((await train("b.safetensors")).code, 0);
  assertEquals(await Deno.readFile(join(folder, "b.safetensors")), bytes);
  const pruned = await kvfold(
    ...["generate", ...induction, "--prompt", "red=7341, green=9920, red=", "--max-new-tokens", "2"],
    ...["--surrogate", join(folder, "a.safetensors"), "--policy", "wgkv(0.1, window=8)"],
  );
  assertEquals(pruned.code, 0, pruned.err);
});

Deno.test("what cannot be trained is one sentence", async () => {
  const refused = async (...more: ReadonlyArray<string>): Promise<string> => {
    const { code, err } = await train("c.safetensors", ...more);
    assertEquals(code, 1);
    return err;
  };
  assertStringIncludes(await refused("--window", "90"), '--tokens: found "90", allowed is more than the window of 90 tokens');
  assertStringIncludes(await refused("--tokens", "9000"), "fewer, or longer texts");
});

Deno.test("kvfold train --help names every kind with its example", async () => {
  const { code, out } = await kvfold("train", "--help");
  assertEquals(code, 0);
  for (const kind of ["kvzap", "kvtc", "kvsharer", "gate"]) assertStringIncludes(out, `kvfold train ${kind} --model`);
  assertStringIncludes((await kvfold("train", "gate", "--help")).out, "--lambda X");
});
