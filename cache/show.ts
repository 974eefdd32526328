/**
 * A cache value in one line.
 * @module
 */
import { codecName } from "./codec.ts";
import type { KvCache } from "./types.ts";
import { bytesOf, rowsKept, rowsPerHead } from "./bytes.ts";
import { ownLayers } from "./view.ts";

/** One line for a person: layers, tokens seen, rows kept with the shortest and longest head, codecs, bytes held. For example
 * `cache of 2 layers: 10 tokens seen, 24 rows kept (4 to 8 a head), f16/f16, 3.1 kB`. */
export function showCache(cache: KvCache): string {
  const heads = rowsPerHead(cache).flat();
  const codecs = new Set(
    ownLayers(cache).flatMap(({ own }) => own.tiers.map((t) => `${codecName(t.keyCodec)}/${codecName(t.valueCodec)}`)),
  );
  const spread = heads.length === 0 ? "no heads" : `${Math.min(...heads)} to ${Math.max(...heads)} a head`;
  const layers = `${cache.layers.length} layer${cache.layers.length === 1 ? "" : "s"}`;
  return `cache of ${layers}: ${cache.nextPosition} tokens seen, ${rowsKept(cache)} rows kept (${spread}), ${[...codecs].join(" and ")}, ${
    showBytes(bytesOf(cache).total)
  }`;
}

/** Bytes in decimal units: `512 B`, `3.1 kB`, `94.4 MB`. */
export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return step === 0 ? `${bytes} B` : `${(bytes / 1000 ** step).toFixed(1)} ${units[step]}`;
}
