/**
 * Checks that the lock file names packages and hashes only: an address in it would bind every clone to one registry or mirror.
 * @module
 */

/** The lines of a lock file that name an address. */
export const addressesIn = (lock: string): ReadonlyArray<string> =>
  lock.split("\n").filter((line) => /https?:|"redirects"|"tarball"/.test(line)).map((line) => line.trim());

if (import.meta.main) {
  const found = addressesIn(await Deno.readTextFile(new URL("../deno.lock", import.meta.url)));
  found.forEach((line) => console.error(`deno.lock: found ${line}, allowed are names, versions and hashes`));
  Deno.exit(found.length === 0 ? 0 : 1);
}
