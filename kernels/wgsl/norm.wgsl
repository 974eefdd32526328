// with sums
// RMS norm, one workgroup per row. The override says that the result replaces x.
override isOnX: bool = false;
struct Params { rows: u32, dim: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn element(i: u32) -> f32 {
  if (isOnX) { return result[i]; }
  return x[i];
}

@compute @workgroup_size(64)
fn norm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (status[0] != 0u || row >= p.rows) { return; }
  var energy = 0.0;
  for (var c = lane; c < p.dim; c += 64u) {
    let value = element(row * p.dim + c);
    energy += value * value;
  }
  let total = sumOf64(energy, lane);
  let inverse = 1.0 / sqrt(total / f32(p.dim) + p.eps);
  for (var c = lane; c < p.dim; c += 64u) {
    result[row * p.dim + c] = element(row * p.dim + c) * inverse * weight[c];
  }
}
