/// <reference lib="dom" />
/**
 * The map of kept rows on a canvas: one line per head, one column per position, rows per head as bars on the right.
 * @module
 */
import type { Kept } from "./messages.ts";
import { columnMeans, rowsByHead, shareByPosition } from "./shares.ts";

/** Share of the width that bars take. */
const BARS = 0.12;

/** Draws which rows are kept; `layers` is the number of heads of each layer, for the gaps between layers. */
export function paintMap(canvas: HTMLCanvasElement, kept: Kept | null, layers: ReadonlyArray<number>): void {
  const heads = Math.max(1, kept?.heads ?? 1);
  const scale = devicePixelRatio;
  const line = Math.max(1, Math.min(20, Math.floor(320 / heads))) * scale;
  const gap = line >= 3 * scale ? scale : 0;
  const thick = line >= 6 * scale ? line - scale : line;
  const tops = lineTops(layers.length === 0 ? [heads] : layers, line, gap);
  const pen = resized(canvas, ((tops.at(-1) ?? 0) + line) / scale);
  if (pen === null || kept === null) return;
  const width = Math.floor(pen.canvas.width * (1 - BARS)) - 8 * scale;
  const [left, room] = [width + 8 * scale, pen.canvas.width - width - 8 * scale];
  const rows = rowsByHead(kept);
  tops.forEach((top, h) => {
    paintLine(pen, columnMeans(kept.map.subarray(h * kept.tokens, (h + 1) * kept.tokens), width), top, thick);
    pen.globalAlpha = 0.12;
    pen.fillRect(left, top, room, thick);
    pen.globalAlpha = 1;
    pen.fillRect(left, top, room * (rows[h] ?? 0) / kept.tokens, thick);
  });
}

/** Draws the share of heads that keep each position. */
export function paintStrip(canvas: HTMLCanvasElement, kept: Kept | null): void {
  const pen = resized(canvas, 20);
  if (pen === null || kept === null) return;
  const width = Math.floor(pen.canvas.width * (1 - BARS)) - 8 * devicePixelRatio;
  paintLine(pen, columnMeans(shareByPosition(kept), width), 0, pen.canvas.height);
}

/** Share of a canvas's width that positions take: where a cursor over them may go. */
export const positionsWidth = (canvas: HTMLCanvasElement): number => canvas.clientWidth * (1 - BARS) - 8;

/** Top of every head's line: heads of a layer together, a gap between layers. */
function lineTops(layers: ReadonlyArray<number>, line: number, gap: number): ReadonlyArray<number> {
  return layers.flatMap((heads, l) => {
    const before = layers.slice(0, l).reduce((sum, n) => sum + n, 0);
    return Array.from({ length: heads }, (_, h) => (before + h) * line + l * gap);
  });
}

/** A line of shares, 0 as a faint track, 1 in full colour. */
function paintLine(pen: CanvasRenderingContext2D, shares: Float32Array, top: number, height: number): void {
  shares.forEach((share, x) => {
    pen.globalAlpha = share === 0 ? 0.07 : 0.25 + 0.75 * share;
    pen.fillRect(x, top, 1, height);
  });
  pen.globalAlpha = 1;
}

/** The canvas at the pixels of the screen, empty, with the colour of its text as the pen's. */
function resized(canvas: HTMLCanvasElement, height: number): CanvasRenderingContext2D | null {
  canvas.style.height = `${height}px`;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
  const pen = canvas.getContext("2d");
  if (pen !== null) pen.fillStyle = getComputedStyle(canvas).color;
  return pen;
}
