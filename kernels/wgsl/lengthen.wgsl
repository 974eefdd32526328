// Adds counts[h] to each length of a layout.
struct Params { heads: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> segments: array<u32>;

@compute @workgroup_size(64)
fn lengthen(@builtin(global_invocation_id) id: vec3u) {
  if (status[0] != 0u || id.x >= p.heads) { return; }
  segments[3u * id.x + 1u] += counts[id.x];
}
