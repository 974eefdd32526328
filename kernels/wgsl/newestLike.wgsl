// with stored as rows, segments
// Per row the index of the newest other row of its head whose cosine with it is larger than `above`. One workgroup per slot,
// whose invocations share the other rows: pairs of rows grow with the square, and some drivers end loops after 65,536 turns.
struct Params { heads: u32, dim: u32, codec: u32, above: f32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> norms: array<f32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<u32>;

var<workgroup> newest: atomic<u32>;

fn cosine(a: u32, b: u32) -> f32 {
  var product = 0.0;
  for (var c = 0u; c < p.dim; c += 4u) { product += dot(rowsFour(a, c, p.dim), rowsFour(b, c, p.dim)); }
  return product / max(norms[a], 1e-12) / max(norms[b], 1e-12);
}

@compute @workgroup_size(64)
fn newestLike(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = group.y * groups.x + group.x;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  let start = segments[3u * h];
  for (var j = lane; j < segments[3u * h + 1u]; j += 64u) {
    if (start + j != slot && cosine(slot, start + j) > p.above) { atomicMax(&newest, j + 1u); }
  }
  workgroupBarrier();
  // No row is number 0, and one less than that is the word for none.
  if (lane == 0u) { result[slot] = atomicLoad(&newest) - 1u; }
}
