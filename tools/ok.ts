/**
 * The gate (`deno task ok`): every check a change must pass, one line each, and at the end how many steps and tests passed and failed.
 * `deno task ok fmt lint` runs the steps of those names only.
 * @module
 */

/** One check. */
interface Step {
  readonly name: string;
  /** Arguments for `deno`. */
  readonly deno: ReadonlyArray<string>;
  /** Why this step cannot run on this machine, or null. */
  readonly skip?: () => Promise<string | null>;
  /** It runs tests, and these use what is said. */
  readonly tests?: "no driver" | "a graphics driver";
}

interface Outcome {
  readonly ok: boolean;
  /** Exit status, or the signal that ended it. */
  readonly status: string;
  readonly signal: Deno.Signal | null;
  readonly output: string;
}

interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** Rust for Wasm is Debian's, and only whoever changes `kernels/wasm` needs it: the built modules are committed. */
async function noRust(): Promise<string | null> {
  for (const path of ["/usr/bin/cargo", "/usr/bin/wasm-ld-19"]) {
    if (await Deno.stat(path).catch(() => null) === null) return `${path} is not installed, see .ci/run`;
  }
  const found = await Promise.all(["wasm-pack", "wasm-bindgen"].map((tool) => run(tool, ["--version"])));
  if (!found.every(({ ok }) => ok)) return "wasm-pack or wasm-bindgen is not installed, see .ci/run";
  const crates = await run("/usr/bin/cargo", ["fetch", "--locked", "--manifest-path", "kernels/wasm/Cargo.toml"]);
  return crates.ok ? null : "the crates that kernels/wasm names are neither here nor to be fetched";
}

const test: ReadonlyArray<string> = ["test", "-A", "--doc", "--frozen", "--quiet"];

/** What opens a graphics device in the process of its tests. A process of their own keeps a fault of the driver from ending all the others. */
const onDriver: ReadonlyArray<string> = ["tests/webgpu", "backends/webgpu"];

const steps: ReadonlyArray<Step> = [
  { name: "fmt", deno: ["fmt", "--check"] },
  { name: "lint", deno: ["lint"] },
  { name: "check", deno: ["check", "--quiet", "--frozen"] },
  { name: "imports", deno: ["run", "-A", "tools/check_imports.ts"] },
  { name: "sizes", deno: ["run", "-A", "tools/check_sizes.ts"] },
  { name: "lock", deno: ["run", "-A", "tools/check_lock.ts"] },
  { name: "support", deno: ["run", "-A", "tools/support_matrix.ts", "--check"] },
  { name: "wgsl", deno: ["run", "-A", "tools/build_wgsl.ts", "--check"] },
  { name: "wasm", deno: ["run", "-A", "tools/build_wasm.ts", "--check"], skip: noRust },
  { name: "doc", deno: ["run", "-A", "tools/check_docs.ts"] },
  { name: "publish", deno: ["publish", "--dry-run", "--allow-dirty"] },
  { name: "test", deno: [...test, "--parallel", `--ignore=${onDriver.join(",")}`], tests: "no driver" },
  { name: "gpu", deno: [...test, ...onDriver], tests: "a graphics driver" },
];

async function run(program: string, args: ReadonlyArray<string>): Promise<Outcome> {
  const cwd = new URL("..", import.meta.url);
  const command = new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  try {
    const { success, code, signal, stdout, stderr } = await command.output();
    return {
      ok: success,
      status: signal === null ? `exit ${code}` : signal,
      signal,
      output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr),
    };
  } catch (thrown) {
    return { ok: false, status: "not started", signal: null, output: String(thrown) };
  }
}

/** The tests of one run of `deno test`; none if it never got to its summary. */
function testsIn(output: string): Count {
  const summary = [...output.matchAll(/\| (\d+) passed.*?\| (\d+) failed/g)].at(-1);
  return { passed: Number(summary?.[1] ?? 0), failed: Number(summary?.[2] ?? 0) };
}

/** Of a long run of tests only what failed is of interest: its errors, or how it ended if it did not get that far. */
function faultsOf(output: string): string {
  const errors = output.indexOf("\n ERRORS ");
  return (errors >= 0 ? output.slice(errors) : output.slice(-8000)).trim();
}

/**
 * Runs a step. Software drivers of WebGPU now and then corrupt their own memory, mostly when the process exits; nothing in this repository can,
 * being JavaScript and Wasm. So tests that such a driver stopped by a signal are run once more, unless all had passed by then.
 */
async function attempt({ deno, tests }: Step): Promise<Outcome> {
  const first = await run(Deno.execPath(), deno);
  if (tests !== "a graphics driver" || first.signal === null) return first;
  const { passed, failed } = testsIn(first.output);
  if (passed > 0 && failed === 0) {
    return { ...first, ok: true, status: `the driver ended the process after its last test, ${first.signal}` };
  }
  const again = await run(Deno.execPath(), deno);
  return { ...again, status: `${again.status}; the driver had stopped a first run, ${first.signal}` };
}

async function perform(step: Step): Promise<Count> {
  const reason = await step.skip?.() ?? null;
  if (reason !== null) {
    console.log(`skip  ${step.name.padEnd(8)} ${reason}`);
    return { passed: 0, failed: 0 };
  }
  const start = performance.now();
  const { ok, status, output } = await attempt(step);
  const tests = step.tests === undefined ? { passed: 0, failed: 0 } : testsIn(output);
  const detail = step.tests === undefined ? "" : `  ${tests.passed} tests passed, ${tests.failed} failed`;
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6);
  console.log(`${ok ? "ok   " : "FAIL "} ${step.name.padEnd(8)} ${seconds} s${detail}${status === "exit 0" ? "" : `  (${status})`}`);
  if (!ok) console.log(faultsOf(output));
  return { passed: tests.passed + (ok ? 1 : 0), failed: tests.failed + (ok ? 0 : 1) };
}

async function main(names: ReadonlyArray<string>): Promise<number> {
  const unknown = names.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(`step "${unknown[0]}": allowed is ${steps.map(({ name }) => name).join(", ")}`);
    return 1;
  }
  let total: Count = { passed: 0, failed: 0 };
  for (const step of steps.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const { passed, failed } = await perform(step);
    total = { passed: total.passed + passed, failed: total.failed + failed };
  }
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
