// with stored as keys, half, segments
// Rows move back to where they would be if nothing had left, and their keys turn with them. One invocation per slot.
struct Params { heads: u32, dim: u32, codec: u32, dims: u32, count: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> end: array<u32>;
@group(0) @binding(6) var<storage, read> table: array<f32>;

// Halves share a word with a neighbour of the same row, which is this invocation's.
fn put(slot: u32, c: u32, x: f32) {
  let i = slot * p.dim + c;
  if (keysBits == 32u) { keys[i] = bitcast<u32>(x); return; }
  let shift = 16u * (i & 1u);
  keys[i >> 1u] = (keys[i >> 1u] & (0xFFFF0000u >> shift)) | (halfBits(x) << shift);
}

@compute @workgroup_size(64)
fn rerotate(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  // Rows from this one to the end of its head.
  let rest = segments[3u * h + 1u] - (slot - segments[3u * h]);
  let to = end[0] - rest;
  let back = position[slot] - to;
  if (rest > end[0] || position[slot] < to || back >= p.count) { return; }
  position[slot] = to;
  let half = p.dims / 2u;
  for (var c = 0u; c < half; c++) {
    let a = keysAt(slot, c, p.dim);
    let b = keysAt(slot, half + c, p.dim);
    let cosine = table[back * p.dims + c];
    let sine = table[back * p.dims + half + c];
    put(slot, c, a * cosine + b * sine);
    put(slot, half + c, b * cosine - a * sine);
  }
}
