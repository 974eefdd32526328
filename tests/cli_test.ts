/**
 * The command line as a stranger meets it, on the embedded model and on tiny model files.
 * @module
 */
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { recallDocument } from "../cli/documents.ts";
import { induction, kvfold, started, written } from "./support/command_line.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const recall = recallDocument();
const document = written("keys.txt", recall.text.slice(0, 300));

/** The comparison with one policy, asked for a value of the document. */
const recalled = (policy: string) =>
  kvfold(
    ...["compare", ...induction, "--document", document, "--question", "k104="],
    ...["--max-new-tokens", "4", "--policy", policy, "--json"],
  );

Deno.test("compare --json prints exactly the contract, the full cache first, and its distance from itself is zero", async () => {
  const { code, out, err } = await recalled("knorm(25%)");
  assertEquals({ code, err }, { code: 0, err: "" });
  const result = JSON.parse(out);
  assertEquals(Object.keys(result), ["model", "backend", "tokens", "runs"]);
  assertEquals([result.model, result.backend, result.runs.length], ["induction", "wasm-fast", 2]);
  const keys = [
    "policy",
    "rowsKept",
    "rowsTotal",
    "bytes",
    "bytesFull",
    "prefillTokensPerSecond",
    "decodeTokensPerSecond",
    "rowsRead",
    "nllDelta",
    "kl",
    "top1",
    "text",
  ];
  const [full, pruned] = result.runs;
  assertEquals([Object.keys(full), Object.keys(pruned)], [keys, keys]);
  assertEquals([full.policy, full.nllDelta, full.kl, full.top1], ["keepall", 0, 0, 1]);
  // Two layers of two heads; a quarter of the cached tokens, rounded down.
  assertEquals([full.rowsTotal, full.rowsKept, pruned.rowsKept], [4 * result.tokens, 4 * result.tokens, 4 * Math.floor(result.tokens / 4)]);
  assertGreater(full.bytes, pruned.bytes);
  assertGreater(pruned.decodeTokensPerSecond, 0);
});

Deno.test("compare recalls a value with the full cache and cannot once its row is gone", async () => {
  const { out } = await recalled("streamingllm(16)");
  const [full, pruned] = JSON.parse(out).runs;
  const answer = /k104=(\w{4})/.exec(recall.text)?.[1];
  assertEquals(full.text, answer);
  assert(pruned.text !== answer, "the answer's row was evicted, yet it was given");
});

Deno.test("compare without --json is a table with a row for every policy and the answers beneath", async () => {
  const { code, out } = await kvfold("compare", ...induction, "--document", document, "--max-new-tokens", "2", "--policy", "tova(25%)");
  assertEquals(code, 0);
  for (const part of ["policy", "rows kept", "ΔNLL", "top-1", "tova(25%)", "How the document is continued"]) {
    assertStringIncludes(out, part);
  }
});

Deno.test("bench times every policy next to the full cache at each length, with the rows that it holds and reads", async () => {
  const asked = ["bench", ...induction, "--policy", "streamingllm(64)", "--turns", "1"];
  const { code, out, err } = await kvfold(...asked, "--tokens", "128,256", "--json");
  assertEquals({ code, err }, { code: 0, err: "" });
  const { model, backend, runs } = JSON.parse(out);
  assertEquals([model, backend], ["induction", "wasm-fast"]);
  const rows = runs.map((run: Record<string, unknown>) => [run["policy"], run["tokens"], run["rowsKept"]]);
  // Two layers of two KV heads.
  assertEquals(rows, [["keepall", 128, 512], ["streamingllm(64)", 128, 256], ["keepall", 256, 1024], ["streamingllm(64)", 256, 256]]);
  for (const run of runs) {
    assertGreater(run.bytesPeak, run.bytes - 1);
    assertGreater(run.prefillTokensPerSecond, 0);
    // 4 decoded tokens, each read with all that are held: the whole cache grows by its own row, 64 rows and the new one stay.
    assertEquals(run.rowsRead, run.policy === "keepall" ? 4 * (run.tokens + 2.5) : 4 * 65);
  }
  const table = await kvfold(...asked, "--tokens", "128");
  assertStringIncludes(table.out, "streamingllm(64)");
  const refused = await kvfold(...asked, "--tokens", "128,9000");
  assertEquals(refused, { code: 1, out: "", err: "kvfold: context of induction, tokens: needed 9004, available 8192\n" });
  assertEquals(
    (await kvfold(...asked, "--tokens", "0")).err,
    'kvfold: argument --tokens: found "0", allowed is a whole number from 1 to 2147483647\n',
  );
});

Deno.test("generate writes the text alone to standard output, and --json one object", async () => {
  const asked = ["generate", ...induction, "--prompt", "one fish, two fish, one", "--max-new-tokens", "5"];
  assertEquals((await kvfold(...asked)).out, " fish\n");
  const { out } = await kvfold(...asked, "--json");
  const { text, tokens, reason, policy } = JSON.parse(out);
  assertEquals([text, tokens, reason, policy], [" fish", 5, "length", "keepall"]);
});

Deno.test("the same seed draws the same text, from a file as from the command line", async () => {
  const drawn = ["--temperature", "2", "--top-k", "20", "--top-p", "0.9", "--seed", "7", "--max-new-tokens", "12"];
  const first = await kvfold("generate", ...induction, "--prompt", "abcabdabeabf", ...drawn);
  const second = await kvfold("generate", ...induction, "--prompt-file", written("p.txt", "abcabdabeabf"), ...drawn);
  assertEquals([first.code, first.out], [0, second.out]);
});

Deno.test("logits --json prints one number per token of the vocabulary", async () => {
  const { out } = await kvfold("logits", ...induction, "--tokens", "256,7,8,9,7", "--json");
  const { logits } = JSON.parse(out);
  assertEquals([logits.length, logits.indexOf(Math.max(...logits))], [258, 8]);
});

Deno.test("activations of other bits than 8 and 16 are refused", async () => {
  const { code, err } = await kvfold("logits", ...induction, "--tokens", "256", "--activations", "12");
  assertEquals({ code, err }, { code: 1, err: 'kvfold: argument --activations: found "12", allowed is 8 or 16\n' });
});

Deno.test("inspect and estimate read a model file of your own", async () => {
  const model = written("tiny.gguf", tinyFile(tiny("qwen2")));
  const facts = JSON.parse((await kvfold("inspect", "--model", model, "--json")).out);
  assertEquals([facts.model, facts.architecture], ["tiny.gguf", "qwen2"]);
  const { runs } = JSON.parse((await kvfold("estimate", "--model", model, "--tokens", "64", "--policy", "knorm(8)", "--json")).out);
  assertEquals(runs.map((run: { policy: string }) => run.policy), ["keepall", "knorm(8)"]);
});

Deno.test("the estimate is what a real run then holds, slack and layouts apart", async () => {
  const policy = ["--policy", "snapkv(16, window=8)", "--json"];
  const run = JSON.parse((await kvfold("compare", ...induction, "--document", document, "--max-new-tokens", "1", ...policy)).out);
  const { runs } = JSON.parse((await kvfold("estimate", "--model", "induction", "--tokens", String(run.tokens), ...policy)).out);
  for (const [i, estimated] of runs.entries()) {
    assertEquals(estimated.rowsKept, run.runs[i].rowsKept);
    assert(estimated.bytes <= run.runs[i].bytes, `${estimated.bytes} bytes estimated, ${run.runs[i].bytes} held`);
  }
});

Deno.test("every command has help with a worked example", async () => {
  const { out } = await kvfold();
  const names = [...out.matchAll(/^ {2}(\w+(?: \w+)?) /gm)].map((match) => match[1] ?? "");
  assertEquals(names, [
    "start",
    "compare",
    "generate",
    "logits",
    "score",
    "inspect",
    "policies",
    "estimate",
    "bench",
    "train kvzap",
    "train kvtc",
    "train kvsharer",
    "train gate",
    "eval",
  ]);
  for (const name of names) {
    const help = await kvfold(...name.split(" "), "--help");
    assertEquals([help.code, help.err], [0, ""]);
    assertStringIncludes(help.out, `Example\n  kvfold ${name}`);
  }
});

Deno.test("as a process: JSON alone on standard output, nothing on standard error, exit 0", async () => {
  const { code, out, err } = await started("logits", ...induction, "--tokens", "256,7", "--json");
  assertEquals({ code, err, keys: Object.keys(JSON.parse(out)) }, { code: 0, err: "", keys: ["logits"] });
});
