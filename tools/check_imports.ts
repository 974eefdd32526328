/**
 * Checks who imports whom: `deno run --allow-read tools/check_imports.ts [root]`. Prints every offending edge; exit 1 if there is one.
 * Test files may import anything.
 * @module
 */

/** What files of one folder may import beside their own folder. */
interface Rule {
  /** Path prefixes (`cache/`) or one level of a folder (`backends/*.ts`), from the root. */
  readonly paths: ReadonlyArray<string>;
  /** Packages by the start of their specifier, or "any". */
  readonly packages: ReadonlyArray<string> | "any";
}

const fpTs: ReadonlyArray<string> = ["fp-ts/"];
const contracts = "backends/*.ts";

/** Folder (longest match wins) to rule. Folders not named here may import anything. */
export const rules: Readonly<Record<string, Rule>> = {
  "cache/": { paths: [], packages: fpTs },
  "policy/": { paths: ["cache/"], packages: fpTs },
  "papers/": { paths: ["policy/"], packages: [] },
  "plan/": { paths: ["cache/", "policy/", contracts], packages: fpTs },
  "backends/": { paths: ["cache/"], packages: fpTs },
  "backends/reference/": { paths: ["cache/", contracts], packages: fpTs },
  "backends/wasm/": { paths: ["cache/", contracts, "kernels/wasm/"], packages: "any" },
  "backends/webgpu/": { paths: ["cache/", contracts, "kernels/wgsl/"], packages: "any" },
  "conformance/": { paths: ["cache/", contracts, "backends/reference/"], packages: fpTs },
  "run/": { paths: ["cache/", "plan/", "policy/", contracts], packages: fpTs },
  "model/": { paths: ["cache/", "policy/", "plan/", "run/", contracts], packages: "any" },
};

/** A source file: path from the root, with slashes. */
export interface SourceFile {
  readonly path: string;
  readonly source: string;
}

/** An import that no rule allows. */
export interface Offence {
  readonly from: string;
  readonly to: string;
  readonly rule: string;
}

/** Every import of these files that its folder's rule forbids. */
export function checkImports(files: ReadonlyArray<SourceFile>): ReadonlyArray<Offence> {
  return files.filter((f) => !f.path.endsWith("_test.ts")).flatMap(({ path, source }) => {
    const folder = Object.keys(rules).filter((f) => path.startsWith(f)).sort((a, b) => b.length - a.length)[0];
    const rule = folder === undefined ? undefined : rules[folder];
    if (folder === undefined || rule === undefined) return [];
    return importsOf(source).map((specifier) => specifier.startsWith(".") ? resolve(path, specifier) : specifier)
      .filter((to) => !allowed(folder, rule, to))
      .map((to) => ({
        from: path,
        to,
        rule: `${folder} may import ${[...rule.paths, ...rule.packages === "any" ? ["packages"] : rule.packages].join(", ")}`,
      }));
  });
}

function allowed(folder: string, { paths, packages }: Rule, to: string): boolean {
  if (!to.startsWith("./")) return packages === "any" || packages.some((p) => to.startsWith(p));
  const path = to.slice(2);
  const inFolder = (prefix: string): boolean =>
    prefix.endsWith("/*.ts") ? oneLevel(path, prefix.slice(0, -"*.ts".length)) : path.startsWith(prefix);
  const own = folder === "backends/" ? oneLevel(path, folder) : path.startsWith(folder);
  return own || paths.some(inFolder);
}

const oneLevel = (path: string, folder: string): boolean => path.startsWith(folder) && !path.slice(folder.length).includes("/");

/** `./a/b.ts` for `../a/b.ts` seen from `c/d.ts`. Paths that leave the root start with `..`. */
function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.length > 0 && parts[parts.length - 1] !== ".." ? parts.pop() : parts.push("..");
    else if (part !== ".") parts.push(part);
  }
  return parts[0] === ".." ? parts.join("/") : `./${parts.join("/")}`;
}

/** Specifiers of static imports, re-exports and dynamic imports of literals; comments do not count. */
export function importsOf(source: string): ReadonlyArray<string> {
  const code = source.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const forms = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*["']([^"']+)["']/gm,
    /^\s*import\s*["']([^"']+)["']/gm,
    /\bimport\(\s*["']([^"']+)["']/g,
    /\bnew URL\(\s*["'](\.[^"']+\.ts)["']/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].flatMap((m) => m[1] ?? []));
}

async function sourcesUnder(root: string, folder: string): Promise<ReadonlyArray<SourceFile>> {
  const found: SourceFile[] = [];
  for await (const entry of Deno.readDir(`${root}/${folder}`)) {
    const path = folder + entry.name;
    if (entry.isDirectory && entry.name !== "node_modules") found.push(...await sourcesUnder(root, `${path}/`));
    else if (entry.isFile && entry.name.endsWith(".ts")) found.push({ path, source: await Deno.readTextFile(`${root}/${path}`) });
  }
  return found;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const root = Deno.args[0] ?? ".";
  const tops = [...new Set(Object.keys(rules).map((f) => `${f.split("/")[0]}/`))];
  const files: SourceFile[] = [];
  for (const top of tops) if (await isFolder(`${root}/${top}`)) files.push(...await sourcesUnder(root, top));
  const offences = checkImports(files);
  for (const { from, to, rule } of offences) console.error(`${from} imports ${to}: ${rule}`);
  console.log(`import rule: ${files.length} files, ${offences.length} offences`);
  if (offences.length > 0) Deno.exit(1);
}
