// Sets each length to what lies before the tail, and its count.
struct Params { heads: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> tail: array<u32>;
@group(0) @binding(4) var<storage, read_write> segments: array<u32>;

@compute @workgroup_size(64)
fn rejoin(@builtin(global_invocation_id) id: vec3u) {
  if (status[0] != 0u || id.x >= p.heads) { return; }
  segments[3u * id.x + 1u] = tail[3u * id.x] - segments[3u * id.x] + counts[id.x];
}
