/**
 * Bad input on the command line: exit 1 and one clear sentence, whatever is wrong.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { cache, type Finished, folder, induction, kvfold, started, written } from "./support/command_line.ts";
import type { GgufInput, TensorInput } from "./support/gguf_writer.ts";
import { string, u32, writeGguf } from "./support/gguf_writer.ts";
import { tiny, tinyInput } from "./support/tiny_model.ts";

/** Exit 1, nothing on standard output, one sentence; policy text adds the two lines that point at the column. */
function assertRefused({ code, out, err }: Finished, ...parts: ReadonlyArray<string>): void {
  assertEquals({ code, out }, { code: 1, out: "" }, err);
  assertMatch(err, /^kvfold: [^\n]+\n( {2}[^\n]*\n *\^\n)?$/);
  assert(!/\bat (file|async|ext|https?):|Error:/.test(err), `a stack trace or a raw exception: ${err}`);
  parts.forEach((part) => assertStringIncludes(err, part));
}

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
  "too little memory": {
    argv: ["generate", ...induction, "--prompt-file", written("3000.txt", "x".repeat(3000)), "--memory", "5"],
    says: ["out of memory", "limit 5000000 bytes"],
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

Deno.test("as a process: bad input is exit 1 and the sentence on standard error", async () => {
  assertRefused(await started("inspect", "--model", written("bad.gguf", "GGUF")), "bad.gguf");
});
