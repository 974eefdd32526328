/**
 * The gate of Fast KVzip: how much a token's own key would win of its own query against learned sinks. The words used are those of `ops.ts`.
 * @module
 */
import { f32, poly, read, u32, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

/** In code order, the end of the table. */
export const gateOps: Readonly<Record<Extract<OpName, "sinkGate">, OpSpec>> = {
  sinkGate: {
    summary:
      "per token and KV head: the mean over the query heads of its group of 1 / (1 + sum over its sinks s of exp(scale * s.q - z)), z = scale * k.q + bias of the query head; without sinks 1. `sinks` holds kvHeads * count rows of dim, head after head, `size` numbers in all",
    operands: [
      read("q", "f32", "M Hq dim"),
      read("k", "f32", "M Hkv dim"),
      read("sinks", "weight", "1 size"),
      read("bias", "weight", "1 Hq"),
      write("out", "f32", "M Hkv"),
    ],
    params: [...u32("m", "heads", "kvHeads", "dim", "count", "size"), ...f32("scale")],
    tolerance: poly,
  },
};
