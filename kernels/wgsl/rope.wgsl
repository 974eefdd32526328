// Rotates pairs (i, i + dims/2) of each head in place. One invocation per pair.
struct Params { m: u32, heads: u32, dim: u32, dims: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read> angles: array<f32>;

@compute @workgroup_size(64)
fn rope(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let half = p.dims / 2u;
  if (status[0] != 0u || i >= p.m * p.heads * half) { return; }
  let row = i / half;
  let pair = i % half;
  let angle = row / p.heads * p.dims + pair;
  let at = row * p.dim + pair;
  let turned = vec2f(x[at], x[at + half]);
  let turn = vec2f(angles[angle], angles[angle + half]);
  x[at] = turned.x * turn.x - turned.y * turn.y;
  x[at + half] = turned.x * turn.y + turned.y * turn.x;
}
