// Sets a column to `value` on the last m rows of each segment. One invocation per new row of a head.
struct Params { m: u32, heads: u32, value: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> column: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;

@compute @workgroup_size(64)
fn extend(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || i >= p.m * p.heads) { return; }
  let h = i / p.m;
  let back = i % p.m + 1u;
  let length = segments[3u * h + 1u];
  if (back <= length) { column[segments[3u * h] + length - back] = p.value; }
}
