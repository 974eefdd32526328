// with segments
// Column of how many queries have weighed a row. One invocation per slot.
struct Params { heads: u32, prompt: u32, window: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> position: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read> newest: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;

// The f32 nearest to a whole number, ties to even: conversions of more than 24 bits may round as their driver likes.
fn nearest(x: u32) -> f32 {
  let shift = 8u - min(8u, countLeadingZeros(x));
  let kept = x >> shift;
  let rest = x - (kept << shift);
  let half = (1u << shift) >> 1u;
  let isUp = rest > half || (half > 0u && rest == half && (kept & 1u) == 1u);
  return f32(kept + u32(isUp)) * f32(1u << shift);
}

@compute @workgroup_size(64)
fn queriesSeen(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots || segmentsHead(slot, p.heads) == p.heads) { return; }
  let at = position[slot];
  result[slot] = nearest(newest[0] + 1u - max(at, p.prompt) + min(p.window, p.prompt - min(p.prompt, at)));
}
