/// <reference lib="dom" />
/**
 * The text token by token, coloured by the share of heads that keep it, and a cursor over its positions that plot, slider and words share.
 * @module
 */
import { positionsWidth } from "./paint.ts";
import type { Kept } from "./messages.ts";
import { levelOf, shareByPosition } from "./shares.ts";
import { element, made, write } from "./view.ts";

/** One span per token. Words are found by the page's readers under their positions, so they carry them. */
export function renderPieces(pieces: ReadonlyArray<string>): void {
  element("text", HTMLElement).replaceChildren(...pieces.map((piece, i) => made("span", { "data-position": String(i) }, piece)));
  const slider = element("position", HTMLInputElement);
  slider.max = String(Math.max(0, pieces.length - 1));
}

/** Colours every token. */
export function renderLevels(kept: Kept | null): void {
  if (kept === null) return;
  const shares = shareByPosition(kept);
  [...element("text", HTMLElement).children].forEach((span, i) => span.className = `k${levelOf(shares[i] ?? 0)}`);
}

/** Points at a position in plot, text and words. */
export function pointAt(position: number, kept: Kept | null): void {
  const text = element("text", HTMLElement);
  text.querySelector(".at")?.classList.remove("at");
  const span = text.children[position];
  const cursor = element("cursor", HTMLElement);
  cursor.hidden = span === undefined || kept === null;
  if (span === undefined || kept === null) return;
  span.classList.add("at");
  element("position", HTMLInputElement).value = String(position);
  cursor.style.left = `${positionsWidth(element("map", HTMLCanvasElement)) * (position + 0.5) / kept.tokens}px`;
  const keeping = Array.from({ length: kept.heads }, (_, h) => kept.map[h * kept.tokens + position] ?? 0).reduce((sum, k) => sum + k, 0);
  const word = (span.textContent ?? "").replaceAll(/\s+/g, " ");
  write(
    "readout",
    `Position ${position}, ${word === "" ? "a mark without text" : `“${word}”`}: kept by ${keeping} of ${kept.heads} heads.`,
  );
}

/** The position under a pointer over the plot. */
export function positionUnder(event: PointerEvent, tokens: number): number {
  const canvas = element("map", HTMLCanvasElement);
  const x = event.clientX - canvas.getBoundingClientRect().left;
  return Math.max(0, Math.min(tokens - 1, Math.floor(x / positionsWidth(canvas) * tokens)));
}
