/**
 * `kvfold train kvzap` as a stranger meets it, on the embedded model.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { readSafetensors, tensorNumbers } from "../model/safetensors.ts";
import { orThrow } from "../run/mod.ts";
import { cache, folder, induction, kvfold, written } from "./support/command_line.ts";

/** Prose in which words come again, so that the model has something to repeat; another text for another seed. */
function prose(seed: number): string {
  const words = "the old ship left a quiet harbour with grain and salt while rain fell on every roof of town".split(" ");
  let state = seed;
  return Array.from({ length: 2000 }, (_, i) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (words[state % words.length] ?? "") + (i % 11 === 10 ? `.${state % 3 === 0 ? "\n" : ""}` : "");
  }).join(" ");
}

function documents(name: string, files: ReadonlyArray<string>): string {
  Deno.mkdirSync(join(folder, name), { recursive: true });
  files.forEach((text, i) => written(join(name, `${i}.txt`), text));
  return join(folder, name);
}

const texts = documents("train-texts", [1, 2, 3].map(prose));
const sizes = ["--prompts", "3", "--held-out", "1", "--positions", "120", "--threads", "1"];
const argv = (
  out: string,
  ...more: ReadonlyArray<string>
): ReadonlyArray<string> => ["train", "kvzap", ...induction, "--documents", texts, ...sizes, "--out", out, ...more];
const train = (out: string, ...more: ReadonlyArray<string>) => kvfold(...argv(out, ...more));

/** A folder with what the whole training left, except these files. */
async function without(name: string, missing: ReadonlyArray<string>): Promise<string> {
  const out = join(folder, name);
  for (const sub of ["", "pairs", "fits"]) {
    await Deno.mkdir(join(out, sub), { recursive: true });
    for (const file of await filesIn(join(whole, sub))) {
      if (!missing.includes(join(sub, file))) await Deno.copyFile(join(whole, sub, file), join(out, sub, file));
    }
  }
  return out;
}

const WEIGHTS = ["induction.kvzap-linear.safetensors", "induction.kvzap-mlp.safetensors"];
const madeIn = (out: string) => Promise.all([...WEIGHTS, "README.md", "metrics.json"].map((name) => Deno.readFile(join(out, name))));
const filesIn = async (path: string): Promise<ReadonlyArray<string>> =>
  (await Array.fromAsync(Deno.readDir(path))).flatMap(({ name, isFile }) => isFile ? [name] : []).sort();

const whole = join(folder, "trained");
const first = await train(whole);

Deno.test("a training writes weights under the published names, their card, numbers and plots, and says what it came to", async () => {
  assertEquals(first.code, 0, first.err);
  for (const part of ["360 training pairs per head, out of 3 prompts", "kvzap-linear", "R2 held-out files"]) {
    assertStringIncludes(first.out, part);
  }
  assertEquals(await filesIn(whole), [
    ...["README.md", "induction.kvzap-linear.safetensors", "induction.kvzap-mlp.safetensors", "loss.svg", "metrics.json"],
    ...["r2-kvzap-linear.svg", "r2-kvzap-mlp.svg", "train.json"],
  ]);
  // Layer 0 attends by position alone, so that no row of the text is ever the one that is looked for.
  assertStringIncludes(first.err, "2 of 4 heads of induction give no training row a KVzip+ score of 1e-9 or more");
  const file = await orThrow(readSafetensors("w", await Deno.readFile(join(whole, WEIGHTS[1] ?? ""))));
  assertEquals([...file.tensors].slice(0, 4).map(([name, { type, shape }]) => [name, type, shape.join(" x ")]), [
    ["layers.0.0.weight", "F16", "27 x 216"],
    ["layers.0.0.bias", "F16", "27"],
    ["layers.0.2.weight", "F16", "2 x 27"],
    ["layers.0.2.bias", "F16", "2"],
  ]);
  const [linear] = JSON.parse(await Deno.readTextFile(join(whole, "metrics.json"))).networks;
  assert(linear.r2.training > 0.2 && linear.r2.training <= 1, `${linear.r2.training}`);
  assert(linear.thresholds[2] <= linear.thresholds[3] && linear.thresholds[3] <= linear.thresholds[4]);
  assert(!/NaN|undefined/.test(first.out + await Deno.readTextFile(join(whole, "README.md"))));
});

Deno.test("what was trained prunes and scores its model, and R2 is what the numbers of score say", async () => {
  const weights = WEIGHTS.flatMap((name) => ["--surrogate", join(whole, name)]);
  const ran = await kvfold(
    "generate",
    ...induction,
    ...weights,
    "--prompt",
    prose(9).slice(0, 2000),
    "--policy",
    "kvzap(-5, window=4)",
    "--max-new-tokens",
    "2",
  );
  assertEquals(ran.code, 0, ran.err);
  const scores = async (scorer: string) => {
    const out = join(folder, `${scorer}.safetensors`);
    const text = written("score-train.txt", prose(9).slice(0, 800));
    assertEquals((await kvfold("score", ...induction, ...weights, "--text", text, "--scorer", scorer, "--out", out)).code, 0);
    const tensor = (await orThrow(readSafetensors("s", await Deno.readFile(out)))).tensors.get("layer.1");
    return tensor === undefined ? [] : [...tensorNumbers(tensor)];
  };
  const [predicted, oracle] = [await scores("kvzap-linear"), (await scores("kvzip+-training")).map((s) => Math.log(Math.max(s, 1e-9)))];
  const mean = (x: ReadonlyArray<number>) => x.reduce((a, b) => a + b, 0) / x.length;
  const [mp, mo] = [mean(predicted), mean(oracle)];
  const product = (a: ReadonlyArray<number>, ma: number, b: ReadonlyArray<number>, mb: number) =>
    a.reduce((sum, x, i) => sum + (x - ma) * ((b[i] ?? NaN) - mb), 0);
  const r = product(predicted, mp, oracle, mo) / Math.sqrt(product(predicted, mp, predicted, mp) * product(oracle, mo, oracle, mo));
  assert(r > 0.3, `correlation ${r} on a text that was not trained on`);
});

Deno.test("the same command again reads what is there and says the same", async () => {
  const before = await madeIn(whole);
  const again = await train(whole, "--json");
  assertEquals(again.code, 0);
  assertEquals(await madeIn(whole), before);
  assertEquals(JSON.parse(again.out), { out: whole, ...JSON.parse(await Deno.readTextFile(join(whole, "metrics.json"))) });
});

Deno.test("a training that is killed again and again goes on to the same bytes", async () => {
  const out = join(folder, "killed");
  for (const wanted of ["pairs/train-0001.safetensors", "fits/linear-000.safetensors"]) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli/main.ts", ...argv(out)],
      cwd: new URL("..", import.meta.url),
      env: { KVFOLD_CACHE: cache },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    while (await Deno.stat(join(out, wanted)).catch(() => null) === null) await new Promise((go) => setTimeout(go, 5));
    child.kill("SIGKILL");
    await child.status;
    assertEquals(await Deno.stat(join(out, "README.md")).catch(() => null), null, "it ended before it was killed");
  }
  assertEquals((await train(out)).code, 0);
  assertEquals(await madeIn(out), await madeIn(whole));
});

Deno.test("more prompts go on from the pairs that are there; another seed in the same folder is refused", async () => {
  const out = await without("more", []);
  const pairs = join(out, "pairs", "train-0001.safetensors");
  const before = (await Deno.stat(pairs)).mtime;
  const { code, out: said } = await train(out, "--prompts", "4", "--kind", "linear");
  assertEquals([code, (await Deno.stat(pairs)).mtime], [0, before]);
  assertStringIncludes(said, "out of 4 prompts");
  const refused = await train(out, "--seed", "2");
  assertEquals([refused.code, refused.out], [1, ""]);
  assertStringIncludes(refused.err, "--out");
});

Deno.test("texts that cannot be trained on, and numbers outside their range, are one sentence, and nothing is written", async () => {
  const bytes = documents("train-bytes", [prose(1), prose(2)]);
  written(join("train-bytes", "z.txt"), Uint8Array.of(0xff));
  const out = join(folder, "refused");
  const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["--documents", documents("train-none", [])], "no files"],
    [["--documents", documents("train-one", [prose(1)])], "one file"],
    [["--documents", documents("train-short", ["too short", "as well"])], "no prompt for training"],
    [["--documents", documents("train-unheld", [prose(1), "too short"])], "no prompt for holding out"],
    [["--documents", documents("train-empty", [prose(1), " "])], "empty"],
    [["--documents", bytes], "UTF-8"],
    [["--documents", join(folder, "absent")], "absent"],
    [["--prompts", "1", "--positions", "200"], "at least 216"],
    [["--positions", "751"], "1 to 750"],
    [["--kind", "cubic"], "linear, mlp, both"],
    [["--inner", "0"], "--inner"],
    [["--rate", "fast"], "--rate"],
  ];
  for (const [more, part] of cases) {
    const { code, out: said, err } = await train(out, ...more);
    assertEquals([code, said], [1, ""], more.join(" "));
    assert(err.startsWith("kvfold: ") && err.includes(part) && err.trim().split("\n").length === 1, err);
  }
  assertEquals(await Deno.stat(out).catch(() => null), null);
  const file = written("train-taken", "x");
  for (const taken of [file, join(file, "inside")]) assertStringIncludes((await train(taken)).err, "train-taken");
  assertEquals(await Deno.readTextFile(file), "x");
});

Deno.test("a rate at which training diverges is said, and no weights are written", async () => {
  const out = await without("diverged", [...WEIGHTS, "README.md"]);
  const { code, err } = await train(out, "--rate", "100", "--decay", "100", "--epochs", "30");
  assertEquals(code, 1);
  assertStringIncludes(err, "diverged");
  assertEquals((await filesIn(out)).filter((name) => [...WEIGHTS, "README.md"].includes(name)), []);
});

Deno.test("a shard or a fit that was damaged names itself or is made again, and what comes out is the same", async () => {
  const out = await without("damaged", []);
  const [shard, fit] = [join(out, "pairs", "train-0002.safetensors"), join(out, "fits", "mlp-001.safetensors")];
  await Deno.truncate(fit, 500);
  assertEquals((await train(out)).code, 0);
  assertEquals(await madeIn(out), await madeIn(whole));
  await Deno.truncate(shard, 5000);
  const refused = await train(out);
  assertEquals([refused.code, refused.out], [1, ""]);
  assertStringIncludes(refused.err, "train-0002");
});

Deno.test({
  name: "a disk that is full is one sentence; what was whole stays, nothing half-written does, and the run goes on when there is room",
  // The device that is always full is Linux's.
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const files = ["pairs/train-0001.safetensors", "fits/mlp-000.safetensors", WEIGHTS[1] ?? "", "README.md"];
    const out = await without("full", files);
    for (const at of files) {
      const [path, part] = [join(out, at), join(out, `${at}.part`)];
      await Deno.symlink("/dev/full", part);
      const { code, out: said, err } = await train(out);
      assertEquals([code, said], [1, ""]);
      assert(err.includes(path) && /space/.test(err), err);
      assertEquals(await Promise.all([path, part].map((p) => Deno.lstat(p).catch(() => null))), [null, null]);
    }
    assertEquals((await train(out)).code, 0);
    assertEquals(await madeIn(out), await madeIn(whole));
  },
});
