// with segments
// Rows at the last m positions take the numbers of their tokens. One invocation per slot.
struct Params { m: u32, heads: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> newest: array<u32>;
@group(0) @binding(6) var<storage, read_write> column: array<f32>;

@compute @workgroup_size(64)
fn perToken(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  let at = position[slot];
  if (at <= newest[0] && newest[0] - at < p.m) { column[slot] = x[(p.m - 1u - (newest[0] - at)) * p.heads + h]; }
}
