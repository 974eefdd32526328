/**
 * Which region of scratch each temporary lies in. Two that are alive at once lie in different regions, and a region is a buffer of its own: a
 * buffer that is written may be bound once only.
 * @module
 */
import type { Program, Slot } from "../program.ts";
import { rounded } from "./memory.ts";

/** Regions of a program, largest first, bytes; the region of each temporary by slot, and of each instruction's scratch by index. */
export interface Places {
  readonly regions: ReadonlyArray<number>;
  readonly ofTemp: ReadonlyMap<Slot, number>;
  readonly ofInstr: ReadonlyMap<number, number>;
}

/** A region while places are given out. */
interface Region {
  bytes: number;
  isFree: boolean;
}

/** Gives every temporary a region from its first use to its last. */
export function place({ values, body }: Program, scratch: ReadonlyArray<number>): Places {
  const regions: Region[] = [];
  const [temps, own] = [new Map<Slot, Region>(), new Map<number, Region>()];
  const last = new Map<Slot, number>();
  for (const [i, { args }] of body.entries()) for (const slot of args) last.set(slot, i);
  for (const [i, { args }] of body.entries()) {
    const used = [...new Set(args)];
    for (const slot of used) {
      const value = values[slot];
      if (value?._tag === "Temp" && !temps.has(slot)) temps.set(slot, take(regions, value.bytes));
    }
    const bytes = scratch[i] ?? 0;
    if (bytes > 0) {
      const region = take(regions, bytes);
      own.set(i, region);
      region.isFree = true;
    }
    for (const slot of used) {
      const region = temps.get(slot);
      if (region !== undefined && last.get(slot) === i) region.isFree = true;
    }
  }
  const ordered = regions.toSorted((a, b) => b.bytes - a.bytes);
  const numbers = <K>(of: ReadonlyMap<K, Region>): ReadonlyMap<K, number> =>
    new Map([...of].map(([key, region]) => [key, ordered.indexOf(region)]));
  return { regions: ordered.map(({ bytes }) => bytes), ofTemp: numbers(temps), ofInstr: numbers(own) };
}

/** The smallest free region that is large enough, else the largest free one made larger, else a new one. */
function take(regions: Region[], bytes: number): Region {
  const size = rounded(bytes);
  const free = regions.filter(({ isFree }) => isFree).sort((a, b) => a.bytes - b.bytes);
  const region = free.find((one) => one.bytes >= size) ?? free.at(-1) ?? { bytes: 0, isFree: false };
  if (!regions.includes(region)) regions.push(region);
  region.bytes = Math.max(region.bytes, size);
  region.isFree = false;
  return region;
}
