/** A suite that cannot fail proves nothing: backends with one fault each, and the suite must find it. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend, Binding } from "../backends/backend.ts";
import { type OpName, opNames } from "../backends/ops.ts";
import { openReference } from "../backends/reference/mod.ts";
import { type CaseReport, checkOp } from "./check.ts";
import { runConformance } from "./run.ts";
import { casesOf } from "./table.ts";

async function openOracle(): Promise<Backend> {
  const opened = await openReference()();
  if (E.isLeft(opened)) throw new Error("the reference does not open");
  return opened.right;
}

/** Changes the words of one bound buffer after every run. Offsets are in words from the binding's start; -1 lies in the fence. */
type Fault = (words: Int32Array, offset: number) => void;

/** The reference, but after a run `fault` has its way with the buffer bound as `name`. */
const faulty = (backend: Backend, name: string, fault: Fault): Backend => {
  const pending: Promise<void>[] = [];
  const spoil = async ({ buffer, offset = 0 }: Binding): Promise<void> => {
    const read = await backend.read(buffer, 0, buffer.bytes)();
    if (E.isLeft(read)) return;
    fault(new Int32Array(read.right.buffer), offset / 4);
    backend.write(buffer, 0, read.right)();
  };
  return {
    ...backend,
    run: (prepared, bindings) => () => {
      const done = backend.run(prepared, bindings)();
      const target = bindings[name];
      if (E.isRight(done) && target !== undefined) pending.push(spoil(target));
      return done;
    },
    read: (buffer, offset, length) => async () => {
      await Promise.all(pending);
      return await backend.read(buffer, offset, length)();
    },
  };
};

/** Complaints about the cases of one op, for a backend with this fault. */
async function complaints(op: OpName, name: string, fault: Fault): Promise<ReadonlyArray<string>> {
  await using oracle = await openOracle();
  await using backend = await openOracle();
  const cases = casesOf(op).filter((one) => (one.buffers[name]?.bytes.length ?? 0) > 0);
  assert(cases.length > 0);
  const reports: CaseReport[] = [];
  // One after the other: live bytes are compared before and after each case.
  for (const one of cases) reports.push(await checkOp(faulty(backend, name, fault), oracle)(one));
  assertEquals(reports.filter(({ failures }) => failures.length === 0).map(({ label }) => label), []);
  return reports.flatMap(({ failures }) => failures);
}

const asFloats = (words: Int32Array): Float32Array => new Float32Array(words.buffer);

Deno.test("the reference conforms to itself, and every case leaves its memory as it was", async () => {
  await using backend = await openOracle();
  const report = await runConformance(backend, { seed: 7 })();
  assert(E.isRight(report));
  assertEquals(report.right.failed, []);
  assertEquals(Object.values(report.right.cases).filter((cases) => cases === 0), []);
  assertEquals(backend.liveBytes(), { buffers: 0, weights: 0, scratch: 0, programs: 0 });
});

Deno.test("a NaN in a result is found in every case", async () => {
  const found = await complaints("norm", "out", (words, offset) => {
    asFloats(words)[offset] = NaN;
  });
  assert(found.some((failure) => failure.includes("is NaN")));
});

Deno.test("a word written before the buffer is found in every case", async () => {
  const found = await complaints("slice", "out", (words, offset) => {
    words[offset - 1] = 0;
  });
  assert(found.every((failure) => failure === "out: written outside the buffer"));
});

Deno.test("a word written behind the buffer is found in every case", async () => {
  const found = await complaints("argmax", "x", (words) => {
    words[words.length - 1] = 0;
  });
  assert(found.every((failure) => failure === "x: written outside the buffer"));
});

Deno.test("a changed input is found in every case", async () => {
  await complaints("attend", "position", (words, offset) => {
    words[offset] = (words[offset] ?? 0) ^ 1;
  });
});

Deno.test("a write into slack before the first segment is found in every case", async () => {
  const found = await complaints("reduce", "out", (words, offset) => {
    words[offset] = 0;
  });
  assert(found.every((failure) => failure.includes("not the op's to write")));
});

Deno.test("a length that is off by one is found in every case", async () => {
  await complaints("append", "layout", (words, offset) => {
    words[offset + 1] = (words[offset + 1] ?? 0) + 1;
  });
});

Deno.test("an f32 result that is off by a thousandth is found in every case", async () => {
  const found = await complaints("glu", "out", (words) => {
    const floats = asFloats(words);
    for (let i = 0; i < floats.length; i++) floats[i] = Math.fround((floats[i] ?? 0) * 1.001 + 1e-9);
  });
  assert(found.some((failure) => failure.includes("NMSE")));
});

Deno.test("leaked memory is reported with its kind and bytes", async () => {
  await using oracle = await openOracle();
  await using backend = await openOracle();
  const leaky: Backend = { ...backend, free: () => () => E.right(undefined) };
  const [one] = casesOf("truncate");
  assert(one !== undefined);
  const { failures } = await checkOp(leaky, oracle)(one);
  assertEquals(failures.length, 1);
  assert(failures[0]?.startsWith("buffers: 0 bytes before, "));
});

Deno.test("an error of the backend is a failure with its sentence, not an exception", async () => {
  await using oracle = await openOracle();
  await using backend = await openOracle();
  const lost: Backend = { ...backend, run: () => () => E.left({ _tag: "DeviceLost", backend: "mine", because: "unplugged" }) };
  const [one] = casesOf("slide");
  assert(one !== undefined);
  const { failures } = await checkOp(lost, oracle)(one);
  assertEquals(failures, ["backend mine lost its device: unplugged"]);
});

Deno.test("no two cases of an op have the same label", () => {
  for (const op of opNames) {
    const labels = casesOf(op).map(({ label }) => label);
    assertEquals([op, new Set(labels).size], [op, labels.length]);
  }
});

Deno.test("the table is the same bytes every time, and other bytes under another seed", () => {
  const bytes = (seed: number): ReadonlyArray<number> => [...(casesOf("norm", seed)[3]?.buffers["x"]?.bytes ?? [])];
  assertEquals(bytes(1), bytes(1));
  assert(bytes(1).some((byte, i) => byte !== bytes(2)[i]));
});
