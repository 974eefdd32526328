/**
 * Sections as Markdown, and as one HTML file that needs nothing beside it.
 * @module
 */
import type { EvalRecord } from "./record.ts";
import type { Section, Table } from "./sections.ts";

/** What a report is about, for its head. */
export interface Head {
  readonly title: string;
  readonly facts: ReadonlyArray<string>;
}

/** Markdown; plots are files in the folder `plots` beside it. */
export const markdownOf = ({ title, facts }: Head, sections: ReadonlyArray<Section>): string =>
  [
    `# ${title}`,
    facts.map((fact) => `- ${fact}`).join("\n"),
    ...sections.flatMap((section) => [
      `## ${section.title}`,
      ...section.lead,
      ...section.plots.map(({ name, about }) => `![${about}](plots/${name}.svg)`),
      ...section.tables.map(markdownTable),
    ]),
  ].join("\n\n") + "\n";

/** A table of Markdown, numbers to the right. */
export function markdownTable({ titles, rows }: Table): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const line = (cells: ReadonlyArray<string>): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(titles), `| ${titles.map((_, i) => i === 0 ? "---" : "--:").join(" | ")} |`, ...rows.map(line)].join("\n");
}

/** One page. */
export const pageOf = ({ title, facts }: Head, sections: ReadonlyArray<Section>, portrait: string): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${escaped(title)}</h1><ul>${facts.map((fact) => `<li>${escaped(fact)}</li>`).join("")}</ul>
<nav>${sections.map((section, i) => `<a href="#s${i}">${escaped(section.title)}</a>`).join("")}</nav></header>
<main>
${sections.map(sectionHtml).join("\n")}
${portrait}
</main>
</body>
</html>
`;

const sectionHtml = (section: Section, i: number): string =>
  `<section id="s${i}"><h2>${escaped(section.title)}</h2>
${section.lead.map((line) => `<p>${escaped(line)}</p>`).join("\n")}
${section.plots.map(({ svg, about }) => `<figure role="img" aria-label="${escaped(about)}">${svg}</figure>`).join("\n")}
${
    section.tables.map((table) =>
      section.plots.length === 0 ? tableHtml(table) : `<details><summary>All numbers</summary>${tableHtml(table)}</details>`
    ).join("\n")
  }
</section>`;

/** Numbers with an interval are told apart from it. */
const cellHtml = (text: string): string => escaped(text).replace(/ (\[[^\]]*\])$/, " <small>$1</small>");

const tableHtml = ({ titles, rows }: Table): string =>
  `<div class="wide"><table><thead><tr>${titles.map((t) => `<th>${escaped(t)}</th>`).join("")}</tr></thead><tbody>${
    rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cellHtml(cell)}</td>`).join("")}</tr>`).join("")
  }</tbody></table></div>`;

/** A text with each token as dark as the share of heads that keep it, once per policy. */
export function portraitOf(records: ReadonlyArray<EvalRecord>): string {
  const full = records.find(({ portrait }) => portrait?.pieces !== null && portrait?.pieces !== undefined);
  const pieces = full?.portrait?.pieces ?? [];
  const others = records.filter(({ item, method, portrait }) => item === full?.item && portrait !== null && method !== "full cache");
  if (full === undefined || others.length === 0) return "";
  const isControl = ({ method }: EvalRecord): boolean => /^(random|oracle)\(/.test(method);
  const texts = others.toSorted((a, b) => Number(isControl(a)) - Number(isControl(b))).map(({ method, portrait }, i) =>
    `<details${i === 0 ? " open" : ""}><summary>${escaped(method)}</summary><p class="text">${
      pieces.map((piece, t) => {
        const share = portrait?.shares[t] ?? 0;
        return `<span style="--k:${share}%" title="${share}% of heads">${escaped(piece).replaceAll("\n", "↵<br>")}</span>`;
      }).join("")
    }</p></details>`
  );
  return `<section id="text"><h2>What is kept of a text</h2><p>The first item of ${
    escaped(full.task)
  }: the stronger the colour, the more heads of all layers keep the token. ` +
    `Point at a token for the number.</p>${texts.join("\n")}</section>`;
}

/** Text for HTML. */
export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1d2129, #e3e6eb); --soft: light-dark(#5c6470, #9aa3b0); --line: light-dark(#dfe3e8, #2c323b);
  --page: light-dark(#ffffff, #0f1216); --card: light-dark(#f7f8fa, #161a20); --accent: #0b84d8; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, main { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.3rem; margin: 0 0 .5rem; }
header ul { padding: 0; margin: 0 0 1rem; list-style: none; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .4rem; }
nav a { color: inherit; text-decoration: none; border: 1px solid var(--line); border-radius: 1rem; padding: .15rem .75rem; font-size: .85rem; }
nav a:hover { border-color: var(--accent); }
section { margin: 2.5rem 0; }
p { margin: .35rem 0; max-width: 46rem; }
figure { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; overflow-x: auto; }
figure svg { display: block; max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .75rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { text-align: left; }
small { color: var(--soft); }
summary { cursor: pointer; color: var(--soft); padding: .3rem 0; }
.text { font: 14px/1.9 ui-monospace, monospace; max-width: none; overflow-wrap: anywhere; }
.text span { background: color-mix(in srgb, var(--accent) var(--k), transparent); border-radius: .2rem; }
`;
