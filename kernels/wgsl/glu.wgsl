// out = activation(gate) * up, elementwise. The override says that the result replaces gate.
override isOnGate: bool = false;
struct Params { count: u32, activation: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@group(0) @binding(3) var<storage, read> up: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

// By an exponential that cannot overflow.
fn silu(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(x, x * e, x < 0.0) / (1.0 + e);
}

// The tanh form, x (1 + tanh u) / 2, as a quotient that keeps its digits where tanh u is near -1. Where the exponential would overflow the
// result is smaller than an f32 can be.
fn gelu(x: f32) -> f32 {
  let inner = 0.7978845608 * (x + 0.044715 * x * x * x);
  if (inner < -44.0) { return 0.0; }
  return x / (1.0 + exp(-2.0 * inner));
}

@compute @workgroup_size(64)
fn glu(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || i >= p.count) { return; }
  var x = 0.0;
  if (isOnGate) { x = result[i]; } else { x = gate[i]; }
  if (p.activation == 0u) { result[i] = silu(x) * up[i]; } else { result[i] = gelu(x) * up[i]; }
}
