/**
 * Hostile model files: whatever is done to a sound file, reading it gives a sound model or one sentence. Nothing throws, hangs or
 * allocates more than the file justifies.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { readModelFile } from "../model/model_file.ts";
import type { ModelFile } from "../model/types.ts";
import { fieldOffsets, writeGguf } from "./support/gguf_writer.ts";
import { tiny, tinyInput } from "./support/tiny_model.ts";
import { draws } from "./support/random.ts";

/** A sound file of some 30 kB and where its fields begin. */
interface Seed {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fields: ReadonlyArray<number>;
}

const size = { layers: 1, hidden: 8, queryHeads: 2, kvHeads: 1, headDim: 4, ffn: 8, tied: true } as const;
const seeds: ReadonlyArray<Seed> = [
  tiny("llama", { ...size, ropeFreqs: true, linear: 2 }),
  tiny("qwen2", size),
  tiny("qwen3", size),
  tiny("llama", { ...size, type: "Q8_0", hidden: 32, headDim: 16, ffn: 32 }),
].map((options) => {
  const input = tinyInput(options);
  return { bytes: writeGguf(input), fields: fieldOffsets(input) };
});

const words: ReadonlyArray<bigint> = [
  ...[0n, 1n, 2n, 3n, 4n, 7n, 8n, 9n, 10n, 12n, 13n, 31n, 32n, 33n, 64n, 255n, 288n, 1024n, 65535n, 65536n, 1n << 20n],
  ...[(1n << 31n) - 1n, 1n << 31n, (1n << 32n) - 1n, 1n << 32n, 1n << 40n, (1n << 53n) - 1n, 1n << 53n, (1n << 63n) - 1n, 1n << 63n],
  ...[(1n << 64n) - 1n, (1n << 64n) - 8n, (1n << 64n) - 32n],
];

type Next = (below: number) => number;

/** A place in the file: the beginning of a field, somewhere in the head, or anywhere. */
function place({ bytes, fields }: Seed, next: Next): number {
  const head = (fields.at(-1) ?? 0) + 8;
  return [fields[next(fields.length)] ?? 0, fields[next(fields.length)] ?? 0, next(head), next(bytes.length)][next(4)] ?? 0;
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(head.length + tail.length);
  all.set(head);
  all.set(tail, head.length);
  return all;
}

/** One change: bits, a byte, a word in place of a length, count, type or offset, a cut, a removal, a repetition, bytes of another file. */
function change(bytes: Uint8Array<ArrayBuffer>, seed: Seed, next: Next): Uint8Array<ArrayBuffer> {
  const at = Math.min(place(seed, next), bytes.length - 8);
  if (at < 0) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const word = words[next(words.length)] ?? 0n;
  switch (next(10)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
      return bytes;
    case 1:
      bytes[at] = next(256);
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3: {
      const to = Math.min(bytes.length, at + 1 + next(64));
      return next(2) === 0 ? joined(bytes.subarray(0, at), bytes.subarray(to)) : joined(bytes.subarray(0, to), bytes.subarray(at));
    }
    case 4: {
      const other = seeds[next(seeds.length)] ?? seed;
      const from = place(other, next);
      bytes.set(other.bytes.subarray(from, from + Math.min(next(256), bytes.length - at)), at);
      return bytes;
    }
    case 5:
    case 6:
      view.setUint32(at, Number(word & 0xffffffffn), true);
      return bytes;
    case 7:
      view.setBigUint64(at, BigInt(bytes.length + next(65) - 32), true);
      return bytes;
    default:
      view.setBigUint64(at, word, true);
      return bytes;
  }
}

function mutated(seed: Seed, next: Next): Uint8Array {
  let bytes = seed.bytes.slice();
  for (let n = 1 + next(3); n > 0; n--) bytes = change(bytes, seed, next);
  return bytes;
}

/** What any model must keep, however its file came about. */
function assertSound({ spec, tensors }: ModelFile, length: number): void {
  const held = [...tensors.values()].reduce((sum, t) => sum + t.bytes.length, 0);
  assert(held <= length, `${held} bytes of tensors from a file of ${length}`);
  assertEquals(spec.shape.layers.length, spec.ffn.length);
  for (const { queryHeads, kvHeads, keyDim, rope } of spec.shape.layers) {
    assert(queryHeads % kvHeads === 0 && rope.dims <= keyDim && rope.dims % 2 === 0 && Number.isFinite(rope.theta));
    assert(rope.divisors === undefined || rope.divisors.length === rope.dims / 2);
  }
}

Deno.test("100,000 mutated model files: a sound model or one sentence, in little time and memory", () => {
  const next = draws(20260303);
  const held = () => Deno.memoryUsage().heapTotal + Deno.memoryUsage().external;
  const before = held();
  let [accepted, slowest, most] = [0, 0, 0];
  const kinds = new Set<string>();
  for (let i = 0; i < 100_000; i++) {
    const seed = seeds[i % seeds.length];
    assert(seed !== undefined);
    const bytes = mutated(seed, next);
    const from = performance.now();
    const read = readModelFile("m.gguf", bytes);
    if (E.isRight(read)) {
      accepted++;
      assertSound(read.right, bytes.length);
      if (accepted % 8 === 0) useTokenizer(read.right);
    } else {
      const sentence = showError(read.left);
      assert(sentence.includes("m.gguf") && !/[\r\n]/.test(sentence), sentence);
      kinds.add(read.left._tag === "InvalidFile" ? read.left.at.replaceAll(/\d+/g, "#") : read.left._tag);
    }
    slowest = Math.max(slowest, performance.now() - from);
    if (i % 1000 === 0) most = Math.max(most, held());
  }
  // Both outcomes must be well represented, else the mutations are too tame or too wild to prove anything.
  assert(accepted > 5_000 && accepted < 80_000, `${accepted} accepted`);
  assert(kinds.size > 100, `${kinds.size} kinds of error`);
  // A call takes under a millisecond; a collection or a busy machine may add to that, a hang would add minutes.
  assert(slowest < 5_000, `${slowest} ms`);
  // One lying count, believed, would ask for gigabytes.
  assert(most - before < 512 * 2 ** 20, `${most - before} bytes`);
});

/** A vocabulary that was accepted encodes and renders, or says why not. */
function useTokenizer(file: ModelFile): void {
  const made = file.tokenizer();
  if (E.isLeft(made)) {
    assert(!/[\r\n]/.test(showError(made.left)));
    return;
  }
  const text = "Hello <|im_end|> é 42\n";
  const ids = made.right.encode(text, { special: true });
  assert(ids.every((id) => Number.isInteger(id) && id >= 0 && id < file.spec.shape.vocab));
  made.right.decode(ids);
  const chat = made.right.chat([{ role: "user", content: text }]);
  assert(E.isRight(chat) || showError(chat.left).length > 0);
}
