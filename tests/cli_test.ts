/**
 * The command line as a stranger meets it: on the embedded model, on tiny model files, and on bad input. Most cases run `main` in this process;
 * the last ones start a process of their own.
 * @module
 */
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { recallDocument } from "../cli/documents.ts";
import type { Io } from "../cli/io.ts";
import { main } from "../cli/main.ts";
import type { GgufInput, TensorInput } from "./support/gguf_writer.ts";
import { string, u32, writeGguf } from "./support/gguf_writer.ts";
import { tiny, tinyFile, tinyInput } from "./support/tiny_model.ts";

interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const folder = await Deno.makeTempDir({ prefix: "kvfold-cli-" });
const cache = join(folder, "cache");
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

async function kvfold(...argv: ReadonlyArray<string>): Promise<Finished> {
  const bytes: Uint8Array[] = [];
  const notes: string[] = [];
  const io: Io = {
    out: (text) => void bytes.push(typeof text === "string" ? new TextEncoder().encode(text) : text),
    note: (line) => void notes.push(`${line}\n`),
    progress: () => {},
    clear: () => {},
    env: (name) => name === "KVFOLD_CACHE" ? cache : undefined,
  };
  const code = await main(argv, io);
  return { code, out: await new Blob(bytes.map((part) => part.slice())).text(), err: notes.join("") };
}

/** A file in the test's folder. */
function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  return path;
}

/** Exit 1, nothing on standard output, one sentence; policy text adds the two lines that point at the column. */
function assertRefused({ code, out, err }: Finished, ...parts: ReadonlyArray<string>): void {
  assertEquals({ code, out }, { code: 1, out: "" }, err);
  assertMatch(err, /^kvfold: [^\n]+\n( {2}[^\n]*\n *\^\n)?$/);
  assert(!/\bat (file|async|ext|https?):|Error:/.test(err), `a stack trace or a raw exception: ${err}`);
  parts.forEach((part) => assertStringIncludes(err, part));
}

const induction = ["--model", "induction", "--backend", "reference"];
const recall = recallDocument();
const document = written("keys.txt", recall.text.slice(0, 300));

Deno.test("compare --json prints exactly the contract, the full cache first, and its distance from itself is zero", async () => {
  const { code, out, err } = await kvfold(
    "compare",
    ...induction,
    "--document",
    document,
    "--question",
    "k104=",
    "--max-new-tokens",
    "4",
    "--policy",
    "knorm(25%)",
    "--json",
  );
  assertEquals({ code, err }, { code: 0, err: "" });
  const result = JSON.parse(out);
  assertEquals(Object.keys(result), ["model", "backend", "tokens", "runs"]);
  assertEquals([result.model, result.backend, result.runs.length], ["induction", "reference", 2]);
  const keys = [
    "policy",
    "rowsKept",
    "rowsTotal",
    "bytes",
    "bytesFull",
    "prefillTokensPerSecond",
    "decodeTokensPerSecond",
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
  const { out } = await kvfold(
    "compare",
    ...induction,
    "--document",
    document,
    "--question",
    "k104=",
    "--max-new-tokens",
    "4",
    "--policy",
    "streamingllm(16)",
    "--json",
  );
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
  const names = [...out.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1] ?? "");
  assertEquals(names, ["start", "compare", "generate", "logits", "inspect", "policies", "estimate"]);
  for (const name of names) {
    const help = await kvfold(name, "--help");
    assertEquals([help.code, help.err], [0, ""]);
    assertStringIncludes(help.out, `Example\n  kvfold ${name}`);
  }
});

const refusals: Record<string, { readonly argv: ReadonlyArray<string>; readonly says: ReadonlyArray<string> }> = {
  "an unknown command": { argv: ["comparre"], says: ["argument COMMAND", "comparre", "compare"] },
  "an unknown option": { argv: ["logits", "--modle", "x"], says: ["--modle", "--model"] },
  "an option without its value": { argv: ["logits", "--model"], says: ["argument --model"] },
  "no model": { argv: ["logits", "--tokens", "1"], says: ["argument --model"] },
  "a model that is neither a file nor in the catalogue": {
    argv: ["logits", "--model", "gpt-9", "--tokens", "1"],
    says: ["gpt-9", "SmolLM2-135M-Instruct"],
  },
  "a folder as a model": { argv: ["inspect", "--model", folder], says: ["argument --model"] },
  "an unknown backend": {
    argv: ["logits", "--model", "induction", "--tokens", "1", "--backend", "cuda"],
    says: ["cuda", "auto, reference, wasm"],
  },
  "a backend of a later version": {
    argv: ["logits", "--model", "induction", "--tokens", "1", "--backend", "webgpu"],
    says: ["webgpu", "wasm or reference"],
  },
  "too little memory for the weights": {
    argv: ["logits", ...induction, "--tokens", "1", "--memory", "1"],
    says: ["out of memory", "1000000 bytes"],
  },
  "a token id outside the vocabulary": { argv: ["logits", ...induction, "--tokens", "1,258"], says: ["tokens[1]", "258", "0 to 257"] },
  "tokens that are no numbers": { argv: ["logits", ...induction, "--tokens", "1,x"], says: ["--tokens", "x"] },
  "an empty prompt": { argv: ["generate", ...induction, "--prompt="], says: ["--prompt"] },
  "an empty prompt file": { argv: ["generate", ...induction, "--prompt-file", written("empty.txt", " \n")], says: ["empty.txt", "empty"] },
  "a prompt longer than the context": {
    argv: ["generate", ...induction, "--prompt-file", written("long.txt", "x".repeat(8192))],
    says: ["8192", "8193"],
  },
  "a prompt that leaves no room": {
    argv: ["generate", ...induction, "--prompt", "abc", "--max-new-tokens", "8192"],
    says: ["8196", "8192"],
  },
  "a file that is not text": {
    argv: ["compare", ...induction, "--document", written("bytes.bin", Uint8Array.of(0xff, 0xfe))],
    says: ["UTF-8"],
  },
  "a document that is not there": { argv: ["compare", ...induction, "--document", join(folder, "nowhere.txt")], says: ["nowhere.txt"] },
  "a document that is too short": {
    argv: ["compare", ...induction, "--document", written("ab.txt", "ab")],
    says: ["2 tokens", "at least 3"],
  },
  "a policy with a misspelt name": {
    argv: ["generate", ...induction, "--prompt", "abc", "--policy", "snapvk(25%)"],
    says: ["column 1", "snapkv"],
  },
  "a policy that ends too soon": { argv: ["generate", ...induction, "--prompt", "abc", "--policy", "snapkv(25%"], says: ["column 11"] },
  "a budget of 0": { argv: ["generate", ...induction, "--prompt", "abc", "--policy", "knorm(0)"], says: ['found "0"', "from 1"] },
  "a budget above one": { argv: ["generate", ...induction, "--prompt", "abc", "--policy", "knorm(120%)"], says: ["120%"] },
  "a budget beyond the context": {
    argv: ["generate", ...induction, "--prompt", "abc", "--policy", "knorm(10000)"],
    says: ["10000", "8192"],
  },
  "a window longer than the prompt": {
    argv: ["generate", ...induction, "--prompt", "abc", "--policy", "snapkv(64, window=32)"],
    says: ["32", "4 tokens"],
  },
  "a chunk of 0": { argv: ["generate", ...induction, "--prompt", "abc", "--chunk", "0"], says: ["--chunk", "1 to 4096"] },
  "an unknown codec": { argv: ["generate", ...induction, "--prompt", "abc", "--codec", "f64"], says: ["f64", "f16, f32"] },
  "a temperature below zero": {
    argv: ["generate", ...induction, "--prompt", "abc", "--temperature=-1"],
    says: ["--temperature", "0 to 10"],
  },
  "two prompts": { argv: ["generate", ...induction, "--prompt", "abc", "--prompt-file", "x"], says: ["either"] },
  "a shape and a model": { argv: ["estimate", "--model", "induction", "--layers", "2", "--tokens", "5"], says: ["--layers", "either"] },
  "half a shape": { argv: ["estimate", "--layers", "2", "--tokens", "5"], says: ["--kv-heads"] },
};
for (const [name, { argv, says }] of Object.entries(refusals)) {
  Deno.test(`refused in one sentence: ${name}`, async () => assertRefused(await kvfold(...argv), ...says));
}

const sound = tinyInput(tiny("llama"));
const bytes = writeGguf(sound);
const changed = (at: number, value: number): Uint8Array => bytes.map((b, i) => i === at ? value : b);
const withKey = (key: string, value: GgufInput["metadata"][number][1] | null): Uint8Array =>
  writeGguf({
    ...sound,
    metadata: sound.metadata.flatMap(([name, meta]) =>
      name !== key ? [[name, meta] as const] : value === null ? [] : [[name, value] as const]
    ),
  });
const withTensor = (change: (tensor: TensorInput, index: number) => TensorInput): Uint8Array =>
  writeGguf({ ...sound, tensors: sound.tensors.map(change) });

const lies: Record<string, { readonly file: Uint8Array; readonly says: string }> = {
  "no bytes at all": { file: new Uint8Array(), says: "0 bytes" },
  "wrong magic": { file: changed(0, 0x58), says: "GGUF" },
  "an unknown version": { file: changed(4, 9), says: "version" },
  "half of a file": { file: bytes.subarray(0, bytes.length >> 1), says: "file bad.gguf" },
  "a file without its last byte": { file: bytes.subarray(0, bytes.length - 1), says: "file bad.gguf" },
  "a tensor count beyond the file": { file: writeGguf({ ...sound, tensorCount: 2 ** 40 }), says: "tensor" },
  "a key count beyond the file": { file: writeGguf({ ...sound, keyCount: 2 ** 40 }), says: "file bad.gguf" },
  "overlapping tensors": { file: withTensor((tensor) => ({ ...tensor, offset: 0 })), says: "file bad.gguf" },
  "a tensor outside the file": {
    file: withTensor((tensor, i) => i === 0 ? { ...tensor, offset: 2 ** 40 } : tensor),
    says: "file bad.gguf",
  },
  "an unknown block type": { file: withTensor((tensor, i) => i === 0 ? { ...tensor, typeId: 99 } : tensor), says: "99" },
  "an unknown architecture": { file: withKey("general.architecture", string("mamba")), says: "mamba" },
  "a missing key": { file: withKey("llama.block_count", null), says: "llama.block_count" },
  "a number that cannot be": { file: withKey("llama.attention.head_count", u32(0)), says: "llama.attention.head_count" },
};
for (const [name, { file, says }] of Object.entries(lies)) {
  Deno.test(`a model file that lies is refused in one sentence: ${name}`, async () => {
    assertRefused(await kvfold("logits", "--model", written("bad.gguf", file), "--tokens", "1", "--backend", "reference"), says);
  });
}

Deno.test("what was refused has left nothing in the cache folder", async () => {
  assertEquals(await Deno.stat(cache).catch(() => null), null);
});

/** The command as a process. */
async function started(...argv: ReadonlyArray<string>): Promise<Finished> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/main.ts", ...argv],
    cwd: new URL("..", import.meta.url),
    env: { KVFOLD_CACHE: cache, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

Deno.test("as a process: JSON alone on standard output, nothing on standard error, exit 0", async () => {
  const { code, out, err } = await started("logits", ...induction, "--tokens", "256,7", "--json");
  assertEquals({ code, err, keys: Object.keys(JSON.parse(out)) }, { code: 0, err: "", keys: ["logits"] });
});

Deno.test("as a process: bad input is exit 1 and the sentence on standard error", async () => {
  assertRefused(await started("inspect", "--model", written("bad.gguf", "GGUF")), "bad.gguf");
});
