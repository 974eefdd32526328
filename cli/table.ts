/**
 * Aligned tables and short numbers for a terminal.
 * @module
 */

/** A column: its title, and on which side its cells are aligned. */
export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

/** Rows of cells under titles, in columns two spaces apart.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const columns = [{ title: "policy", align: "left" }, { title: "MB", align: "right" }] as const;
 * assertEquals(table(columns, [["keepall", "47.2"], ["tova", "5.9"]]), "policy     MB\n-------  ----\nkeepall  47.2\ntova      5.9\n");
 * ```
 */
export function table(columns: ReadonlyArray<Column>, rows: ReadonlyArray<ReadonlyArray<string>>): string {
  const widths = columns.map(({ title }, c) => Math.max(title.length, ...rows.map((row) => row[c]?.length ?? 0)));
  const line = (cells: ReadonlyArray<string>): string =>
    columns.map(({ align }, c) => align === "left" ? (cells[c] ?? "").padEnd(widths[c] ?? 0) : (cells[c] ?? "").padStart(widths[c] ?? 0))
      .join("  ").trimEnd();
  const titles = columns.map(({ title }) => title);
  const rules = widths.map((width) => "-".repeat(width));
  return [titles, rules, ...rows].map((cells) => `${line(cells)}\n`).join("");
}

/** Bytes in megabytes of 10^6, one digit after the point. */
export const megabytes = (bytes: number): string =>
  (bytes / 1e6).toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A whole number with commas between thousands. */
export const grouped = (n: number): string => Math.round(n).toLocaleString("en-US");

/** A number with a sign, so that better and worse are told apart at a glance. */
export const signed = (x: number, digits: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;

/** Text broken into lines of at most `width` characters, each behind `indent`. */
export function wrapped(text: string, width: number, indent: string): string {
  const lines = text.trim().split(/\s+/).reduce<ReadonlyArray<string>>((done, word) => {
    const last = done.at(-1);
    return last !== undefined && last.length + 1 + word.length <= width ? [...done.slice(0, -1), `${last} ${word}`] : [...done, word];
  }, []);
  return lines.map((line) => `${indent}${line}\n`).join("");
}
