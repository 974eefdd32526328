/**
 * Ops that treat every element or pair alike: `rope`, `glu`, `map`.
 * @module
 */
import type { MapFn } from "../ops.ts";
import { at, headsOf, type Kernel } from "./kernel.ts";

/** Rotary embedding, Su et al. 2021, section 3.4.2, in the half-split pairing (i, i + dims/2). */
export const rope: Kernel<"rope"> = ({ m, heads, dim, dims }, operands) => {
  const [x, table] = [operands.f32("x"), operands.f32("table")];
  const half = dims / 2;
  for (let i = 0; i < m; i++) {
    for (let h = 0; h < heads; h++) {
      const head = (i * heads + h) * dim;
      for (let p = 0; p < half; p++) {
        const [cos, sin] = [at(table, i * dims + p), at(table, i * dims + half + p)];
        const [a, b] = [at(x, head + p), at(x, head + p + half)];
        x[head + p] = a * cos - b * sin;
        x[head + p + half] = a * sin + b * cos;
      }
    }
  }
};

const silu = (x: number): number => x / (1 + Math.exp(-x));

/** The tanh form of Hendrycks and Gimpel 2016, section 2, which the released Gemma models use: x (1 + tanh u) / 2, written as
 * x / (1 + e^-2u), since 1 + tanh u cancels where u is far below 0. */
const gelu = (x: number): number => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** out = activation(gate) * up, Shazeer 2020, equation 6. */
export const glu: Kernel<"glu"> = ({ count, activation }, operands) => {
  const [gate, up, out] = [operands.f32("gate"), operands.f32("up"), operands.f32("out")];
  const activate = activation === "silu" ? silu : gelu;
  for (let i = 0; i < count; i++) out[i] = activate(at(gate, i)) * at(up, i);
};

/** x times the normal distribution at x: the exact form, Hendrycks and Gimpel 2016, equation 1. */
const exactGelu = (x: number): number => x < 0 ? x * tail(-x) : x - x * tail(x);

/** 1 - Phi(x) for x from 0, to f64: the series of Phi below 3 (Abramowitz and Stegun 26.2.11), its continued fraction above (26.2.14). */
function tail(x: number): number {
  if (!(x < 40)) return x >= 40 ? 0 : NaN;
  const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  if (x < 3) {
    let [term, sum] = [x, x];
    for (let n = 3; term > sum * 1e-17; n += 2) sum += term *= x * x / n;
    return 0.5 - density * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / (x + fraction);
  return density / (x + fraction);
}

/** The functions of `map`; `v` is the parameter `value`, already an f32. */
const fns: Readonly<Record<MapFn, (a: number, b: number, v: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  neg: (a) => -a,
  abs: (a) => Math.abs(a),
  exp: (a) => Math.exp(a),
  log: (a) => Math.log(Math.max(a, 1e-30)),
  sqrt: (a) => Math.sqrt(Math.max(a, 0)),
  scale: (a, _, v) => a * v,
  shift: (a, _, v) => a + v,
  fill: (_, __, v) => v,
  copy: (a) => a,
  gelu: exactGelu,
};

/** One function over [0, count), or over the rows of a column. */
export const map: Kernel<"map"> = ({ fn, count, value, heads }, operands) => {
  const [a, b, out] = [operands.f32("a"), operands.f32("b"), operands.f32("out")];
  const [f, v] = [fns[fn], Math.fround(value)];
  const ranges = operands.given("layout") ? headsOf(operands.u32("layout"), heads) : [{ start: 0, length: count }];
  for (const { start, length } of ranges) {
    for (let i = start; i < start + length; i++) out[i] = f(at(a, i), at(b, i), v);
  }
};
