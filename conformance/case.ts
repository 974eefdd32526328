/**
 * What a conformance case is: a program, the contents of its buffers before, and what is compared after.
 * @module
 */
import type { WeightSource } from "../backends/backend.ts";
import { type OpName, ops } from "../backends/ops.ts";
import { type Instr, NONE, type Program, type Value } from "../backends/program.ts";

/** Bytes [from, to) of a buffer. */
export interface Range {
  /** First byte. */
  readonly from: number;
  /** The byte behind the last. */
  readonly to: number;
}

/** What must hold of a buffer after the run. Bytes outside the ranges must be as before: slack and neighbours survive. */
export type Expect =
  /** Numbers within `nmse` of the oracle's: squared error at most `nmse` times the energy of the oracle's numbers, each of which counts as at
   * least `least` in size. */
  | { readonly _tag: "Numbers"; readonly nmse: number; readonly least: number; readonly ranges: ReadonlyArray<Range> }
  /** Bits equal to the oracle's. */
  | { readonly _tag: "Bits"; readonly ranges: ReadonlyArray<Range> }
  /** One range of u32 per head, of which the first `counts[head]` are compared bit for bit; the rest of the range is free. */
  | { readonly _tag: "Kept"; readonly ranges: ReadonlyArray<Range>; readonly counts: string };

/** A buffer before the run and what is expected of it. */
export interface Data {
  /** Contents before the run; a multiple of 4 bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What is compared after it. */
  readonly expect: Expect;
}

/** One case. Buffers and weights go by their names in the program. */
export interface Case {
  /** The op this is a case of. */
  readonly op: OpName;
  /** Op, sizes and parameters in words; unlike every other label of its op. */
  readonly label: string;
  /** What is run. */
  readonly program: Program;
  /** Everything the program binds, by name. */
  readonly buffers: Readonly<Record<string, Data>>;
  /** Everything the program uses as a weight. */
  readonly weights: ReadonlyArray<WeightSource>;
}

/** Bits of slack, fences and outputs before a run: NaN as f32 and as a pair of f16, far out of range as u32. */
export const sentinel = 0xFFC5FFC5;

/** `bytes` bytes (a multiple of 4) of {@link sentinel}. */
export const sentinels = (bytes: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new Uint32Array(Math.ceil(bytes / 4)).fill(sentinel).buffer);

type Numbers = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Float16Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

const bytesOf = (numbers: Numbers): Uint8Array<ArrayBuffer> => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** A buffer that is only read: any change is a failure. */
export const input = (numbers: Numbers): Data => ({ bytes: bytesOf(numbers), expect: { _tag: "Bits", ranges: [] } });

/** A buffer of sentinels with room for `count` 4-byte numbers, all of which the op writes. */
export const output = (op: OpName, count: number): Data => outputIn(op, count, [{ from: 0, to: count * 4 }]);

/** A buffer of sentinels with room for `count` 4-byte numbers, of which the op writes these ranges. */
export const outputIn = (op: OpName, count: number, ranges: ReadonlyArray<Range>): Data => ({
  bytes: sentinels(count * 4),
  expect: within(op, ranges),
});

/** A buffer that is read and written: everything in `ranges` may change. */
export const updated = (op: OpName, numbers: Numbers, ranges: ReadonlyArray<Range> = [{ from: 0, to: numbers.byteLength }]): Data => ({
  bytes: bytesOf(numbers),
  expect: within(op, ranges),
});

/** The op's own tolerance: bits where it is exact. */
export const within = (op: OpName, ranges: ReadonlyArray<Range>): Expect => {
  const { nmse } = ops[op].tolerance;
  return nmse === 0 ? { _tag: "Bits", ranges } : { _tag: "Numbers", nmse, least: 0, ranges };
};

/** The same buffer under another tolerance. */
export const withNmse = (nmse: number, least = 0) => (data: Data): Data => ({
  ...data,
  expect: { _tag: "Numbers", nmse, least, ranges: data.expect.ranges },
});

/** An instruction without its operands. */
export type Call = { readonly [O in OpName]: { readonly op: O; readonly params: Extract<Instr, { readonly op: O }>["params"] } }[OpName];

/** What an operand may be given as: a buffer, or a weight. */
export type Given = Data | WeightSource;

const isWeight = (given: Given): given is WeightSource => "type" in given;

/** A case of one instruction; operands by name, optional ones left out. The same value under two names is one buffer. */
export function caseOf(label: string, call: Call, operands: Readonly<Record<string, Given>>): Case {
  const names = new Map<Given, string>();
  for (const { name } of ops[call.op].operands) {
    const given = operands[name];
    if (given !== undefined && !names.has(given)) names.set(given, name);
  }
  const slots = [...names.keys()];
  const args = ops[call.op].operands.map(({ name }) => {
    const given = operands[name];
    return given === undefined ? NONE : slots.indexOf(given);
  });
  const values: ReadonlyArray<Value> = [...names].map(([given, name]) =>
    isWeight(given) ? { _tag: "Weight", name: given.name } : { _tag: "Bound", name }
  );
  return {
    op: call.op,
    label: `${call.op}: ${label}`,
    program: { label: call.op, values, body: [{ ...call, args }] },
    buffers: Object.fromEntries([...names].flatMap(([given, name]) => isWeight(given) ? [] : [[name, given] as const])),
    weights: slots.filter(isWeight),
  };
}
