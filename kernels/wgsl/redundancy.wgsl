// with stored as rows, segments
// Mean cosine with the other rows of the head, without those whose newest likeness the row is (`spares` 0), without its own newest likeness (1), or
// as 0 with the first row as the likeness of rows that have none (2). One invocation per slot.
struct Params { heads: u32, dim: u32, codec: u32, spares: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> norms: array<f32>;
@group(0) @binding(4) var<storage, read> anchor: array<f32>;
@group(0) @binding(5) var<storage, read> like: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read_write> result: array<f32>;

fn cosine(a: u32, b: u32) -> f32 {
  var product = 0.0;
  for (var c = 0u; c < p.dim; c += 4u) { product += dot(rowsFour(a, c, p.dim), rowsFour(b, c, p.dim)); }
  return product / max(norms[a], 1e-12) / max(norms[b], 1e-12);
}

fn charged(slot: u32, h: u32) -> f32 {
  let start = segments[3u * h];
  let length = segments[3u * h + 1u];
  var product = 0.0;
  for (var c = 0u; c < p.dim; c++) { product += rowsAt(slot, c, p.dim) * anchor[h * p.dim + c]; }
  var sum = product / max(norms[slot], 1e-12) * f32(length) - cosine(slot, slot);
  let row = slot - start;
  if (p.spares == 1u) {
    if (like[slot] < length && like[slot] != row) { sum -= cosine(slot, start + like[slot]); }
    return sum / f32(length);
  }
  for (var i = 0u; i < length; i++) {
    let isFirst = p.spares == 2u && row == 0u && like[start + i] == 0xFFFFFFFFu;
    if (i != row && (like[start + i] == row || isFirst)) { sum -= cosine(start + i, slot); }
  }
  return sum / f32(length);
}

@compute @workgroup_size(64)
fn redundancy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h < p.heads) { result[slot] = charged(slot, h); }
}
