// with stored as rows, segments
// sqrt(max(0, row^T gram_q row)) per row and query head of its group. One invocation per slot and query head.
struct Params { heads: u32, kvHeads: u32, dim: u32, codec: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> gram: array<f32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;

fn energy(slot: u32, head: u32) -> f32 {
  var sum = 0.0;
  for (var a = 0u; a < p.dim; a++) {
    let base = (head * p.dim + a) * p.dim;
    var inner = 0.0;
    for (var b = 0u; b < p.dim; b += 4u) {
      let four = rowsFour(slot, b, p.dim);
      inner += gram[base + b] * four.x;
      if (b + 1u < p.dim) { inner += gram[base + b + 1u] * four.y; }
      if (b + 2u < p.dim) { inner += gram[base + b + 2u] * four.z; }
      if (b + 3u < p.dim) { inner += gram[base + b + 3u] * four.w; }
    }
    sum += rowsAt(slot, a, p.dim) * inner;
  }
  return max(0.0, sum);
}

@compute @workgroup_size(64)
fn projectedNorm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let size = p.heads / p.kvHeads;
  let slot = i / size;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.kvHeads);
  if (h < p.kvHeads) { result[i] = sqrt(energy(slot, h * size + i % size)); }
}
