/**
 * The library as ES modules for browsers: `deno task bundle` writes `dist/kvfold.js` with its chunks and prints every size. Any static
 * server can serve the folder. The built Wasm modules are chunks of their own: only the one that runs is loaded.
 * @module
 */
import * as esbuild from "esbuild";
import { gzipSync } from "fflate";

const root = new URL("..", import.meta.url);

/** A written file. */
export interface Bundled {
  /** Name in the folder. */
  readonly name: string;
  /** Raw and after gzip. */
  readonly bytes: number;
  readonly gzip: number;
  /** Names of the files it imports when it is loaded, not later. */
  readonly imports: ReadonlyArray<string>;
}

/** Bundles entry points (paths from the root, by the name of their output) into a folder. */
export async function bundle(entries: Readonly<Record<string, string>>, folder: string): Promise<ReadonlyArray<Bundled>> {
  try {
    const { metafile } = await esbuild.build({
      absWorkingDir: root.pathname,
      entryPoints: { ...entries },
      outdir: folder,
      chunkNames: "[name]-[hash]",
      bundle: true,
      splitting: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2023",
      supported: { using: false },
      legalComments: "none",
      logLevel: "silent",
      metafile: true,
      plugins: [npmPackages(await packageFolders())],
    });
    return await Promise.all(
      Object.entries(metafile.outputs).map(async ([path, { imports }]): Promise<Bundled> => {
        const content = await Deno.readFile(new URL(path, root));
        const eager = imports.filter(({ kind }) => kind === "import-statement").map((i) => baseName(i.path));
        return { name: baseName(path), bytes: content.length, gzip: gzipSync(content, { level: 9 }).length, imports: eager };
      }),
    );
  } finally {
    await esbuild.stop();
  }
}

/** Everything that loads with this file: itself and what it imports, in turn. */
export function loadedWith(files: ReadonlyArray<Bundled>, name: string, seen: ReadonlyArray<string> = []): ReadonlyArray<Bundled> {
  const file = files.find((f) => f.name === name);
  if (file === undefined || seen.includes(name)) return [];
  const reached = file.imports.flatMap((next) => loadedWith(files, next, [...seen, name]));
  return [...new Map([file, ...reached].map((f) => [f.name, f])).values()];
}

/** Where Deno keeps the packages that `deno.json` names, by name. */
async function packageFolders(): Promise<ReadonlyMap<string, string>> {
  const { imports }: { imports: Record<string, string> } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", "model/mod.ts"], cwd: root }).output();
  const info: { npmPackages: Record<string, { name: string; localPath: string }> } = JSON.parse(new TextDecoder().decode(stdout));
  const pinned = new Set(Object.values(imports).flatMap((to) => /^npm:\/?(.+@[^/]+)/.exec(to)?.[1] ?? []));
  return new Map(Object.entries(info.npmPackages).flatMap(([key, at]) => pinned.has(key) ? [[at.name, at.localPath] as const] : []));
}

/** Finds packages in Deno's own cache. fp-ts comes as its ES modules: its CommonJS ones cannot be shaken. */
const npmPackages = (folders: ReadonlyMap<string, string>): esbuild.Plugin => ({
  name: "npm-packages",
  setup: (build) =>
    build.onResolve({ filter: /^(@[^/]+\/)?[^./@][^/]*(\/|$)/ }, ({ path, kind, importer }) => {
      const [, name = "", inside = ""] = /^((?:@[^/]+\/)?[^/]+)\/?(.*)$/.exec(path) ?? [];
      const folder = folders.get(name);
      if (folder === undefined || kind === "entry-point") return;
      return build.resolve(`./${name === "fp-ts" ? `es6/${inside}` : inside}`, { kind, importer, resolveDir: folder });
    }),
});

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** One line per size, in kB of 1000 bytes. */
export const sizeLine = (label: string, files: ReadonlyArray<Bundled>): string => {
  const sum = (of: (file: Bundled) => number): string => `${(files.reduce((total, f) => total + of(f), 0) / 1000).toFixed(1)} kB`;
  return `${label.padEnd(36)} ${sum((f) => f.bytes).padStart(10)}  ${sum((f) => f.gzip).padStart(10)} gzip`;
};

if (import.meta.main) {
  const files = await bundle({ kvfold: "tools/bundle_entry.ts" }, new URL("dist", root).pathname);
  const start = loadedWith(files, "kvfold.js");
  const later = files.filter((f) => !start.includes(f));
  console.log(sizeLine("dist/kvfold.js and what it imports", start));
  for (const file of later) console.log(sizeLine(`dist/${file.name}, when needed`, [file]));
}
