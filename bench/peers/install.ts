/**
 * Installs what the bench compares with, at bench time, into the cache folder: nothing of it is a dependency.
 * @module
 */
import { cacheFolder } from "../../cli/files.ts";
import { orThrow } from "../../run/mod.ts";

/** Where a peer is, or one clause that says why it is not to be had. */
export type Installed = { readonly folder: string } | { readonly missing: string };

/** Puts pinned npm packages, and scripts of this folder that use them, into a folder of their own. */
export async function installPeer(
  name: string,
  packages: ReadonlyArray<string>,
  scripts: ReadonlyArray<string> = [],
): Promise<Installed> {
  const folder = `${await orThrow(cacheFolder(Deno.env.get))}/peers/${name}`;
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify({ name, private: true }));
    for (const script of scripts) await Deno.copyFile(new URL(script, import.meta.url), `${folder}/${script}`);
    for (const one of packages) {
      const { success, stderr } = await new Deno.Command("npm", {
        args: ["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", one],
        cwd: folder,
        stdout: "null",
        stderr: "piped",
      }).output();
      if (!success) return { missing: `npm could not install ${one}: ${new TextDecoder().decode(stderr).trim().split("\n").at(-1)}` };
    }
    return { folder };
  } catch (thrown) {
    return { missing: String(thrown) };
  }
}
