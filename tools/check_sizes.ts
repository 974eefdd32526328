/**
 * Checks that source files stay short: beyond these lengths a concept is missing. Files that name their generator in the first line
 * are exempt.
 * @module
 */

/** The first rule that fits a path gives the most lines it may have. */
const limits: ReadonlyArray<{ readonly path: RegExp; readonly lines: number }> = [
  { path: /^papers\/(?!.*(_test|mod)\.ts$)/, lines: 80 },
  { path: /^model\/forward\.ts$/, lines: 400 },
  { path: /\.(ts|rs)$/, lines: 300 },
];

/** What is too long, one sentence each. `text` is the content of the file at `path`. */
export function tooLong(path: string, text: string): ReadonlyArray<string> {
  const limit = limits.find((rule) => rule.path.test(path))?.lines;
  const lines = text.split("\n").length - 1;
  const generated = /generated/i.test(text.slice(0, text.indexOf("\n")));
  return limit === undefined || generated || lines < limit ? [] : [`${path}: found ${lines} lines, allowed is fewer than ${limit}`];
}

async function* sources(root: URL, folder = ""): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    if (entry.name.startsWith(".") || ["node_modules", "target", "pkg"].includes(entry.name)) continue;
    const path = folder + entry.name;
    if (entry.isDirectory) yield* sources(root, `${path}/`);
    else if (/\.(ts|rs)$/.test(path)) yield path;
  }
}

if (import.meta.main) {
  const root = new URL("..", import.meta.url);
  const problems: string[] = [];
  for await (const path of sources(root)) problems.push(...tooLong(path, await Deno.readTextFile(new URL(path, root))));
  problems.sort().forEach((problem) => console.error(problem));
  Deno.exit(problems.length === 0 ? 0 : 1);
}
