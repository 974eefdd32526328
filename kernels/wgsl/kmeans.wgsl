// with stored as keys, labels, labelled, wide, vectors as means
// k-means of the rows without a label by cosine. `begin`, one workgroup per head: which rows, and where clusters start. `assign`, 64 rows of a head at a
// time: each goes to its nearest centroid. `average`, a workgroup to a cluster: centroids become means. A round does nothing if the assignment before it
// changed nothing. In `heads`: first row and number of rows that are grouped, first new label and how many there are, the last round with a change.
struct Params {
  heads: u32, dim: u32, codec: u32, per: u32, count: u32, sinks: u32, iterations: u32, seed: u32, stride: u32, round: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> labels: array<f32>;
@group(0) @binding(6) var<storage, read_write> means: array<f32>;
@group(0) @binding(7) var<storage, read_write> heads: array<u32>;
var<workgroup> taken: atomic<u32>;
var<workgroup> current: vec4u;
var<workgroup> inverse: array<f32, 64>;

fn hash(c: u32) -> u32 {
  var x = p.seed ^ ((c + 1u) * 0x9E3779B9u);
  x = (x ^ (x >> 16u)) * 0x7FEB352Du;
  x = (x ^ (x >> 15u)) * 0x846CA68Bu;
  return x ^ (x >> 16u);
}

// Clusters of so many rows.
fn clustersOf(rows: u32, room: u32) -> u32 {
  if (rows < p.stride) { return 0u; }
  var wanted = min(rows, p.count);
  if (p.count == 0u) { wanted = max(1u, rows / p.per + u32(rows % p.per >= p.per - rows % p.per)); }
  return min(wanted, room);
}

@compute @workgroup_size(256)
fn begin(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let room = segments[3u * group.x + 2u] / p.stride;
  for (var t = lane; t < length; t += 256u) {
    if (labelAt(start + t, room) != noLabel || position[start + t] < p.sinks) { atomicMax(&taken, t + 1u); }
  }
  let next = labelsIn(group.x, room, lane);
  let first = atomicLoad(&taken);
  let clusters = clustersOf(length - first, room - next);
  let rows = select(length - first, 0u, clusters == 0u);
  if (lane == 0u) {
    let own = array<u32, 5>(first, rows, next, clusters, 0u);
    for (var i = 0u; i < 5u; i++) { heads[5u * group.x + i] = own[i]; }
  }
  for (var c = lane; c < clusters; c += 256u) {
    let low = productOver(c, rows, clusters).x;
    let row = low + hash(c) % (productOver(c + 1u, rows, clusters).x - low);
    for (var d = 0u; d < p.dim; d++) { means[(start + c) * p.dim + d] = keysAt(start + first + row, d, p.dim); }
  }
}

// First slot and number of rows, first new label and how many there are; no rows if the assignment before `round` changed nothing.
fn headOf(h: u32, round: u32, lane: u32) -> vec4u {
  if (lane == 0u) {
    let isSettled = round > 1u && heads[5u * h + 4u] + 1u < round;
    current = vec4u(segments[3u * h] + heads[5u * h], select(heads[5u * h + 1u], 0u, isSettled), heads[5u * h + 2u], heads[5u * h + 3u]);
  }
  return workgroupUniformLoad(&current);
}

// The centroid among `clusters` from means[first] on whose cosine with the row is largest, the lowest of equal ones.
fn nearest(slot: u32, first: u32, clusters: u32, lane: u32) -> u32 {
  var most = 0.0;
  var found = 0u;
  for (var base = 0u; base < clusters; base += 64u) {
    var square = 0.0;
    for (var d = 0u; d < p.dim; d += 4u) {
      let four = meansQuad(first + min(base + lane, clusters - 1u) * p.dim, d, p.dim);
      square += dot(four, four);
    }
    inverse[lane] = 1.0 / (sqrt(square) + 1e-8);
    workgroupBarrier();
    for (var c = base; c < min(clusters, base + 64u); c += 4u) {
      let products = meansProducts(slot, first + c * p.dim, p.dim, clusters - c, p.dim);
      for (var j = 0u; j < min(4u, clusters - c); j++) {
        let cosine = products[j] * inverse[c + j - base];
        if (c + j == 0u || cosine > most) {
          most = cosine;
          found = c + j;
        }
      }
    }
    workgroupBarrier();
  }
  return found;
}

@compute @workgroup_size(64)
fn assign(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let own = headOf(group.y, p.round, lane);
  for (var base = group.x * 64u; base < own.y; base += groups.x * 64u) {
    let slot = own.x + min(base + lane, own.y - 1u);
    let label = f32(own.z + nearest(slot, segments[3u * group.y] * p.dim, own.w, lane));
    // Invocations that find a change write the same number.
    if (base + lane < own.y && labels[slot] != label) {
      labels[slot] = label;
      heads[5u * group.y + 4u] = p.round;
    }
  }
}

@compute @workgroup_size(256)
fn average(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let own = headOf(group.y, p.round + 1u, lane);
  if (own.y == 0u) { return; }
  let room = segments[3u * group.y + 2u] / p.stride;
  for (var c = group.x; c < own.w; c += groups.x) {
    _ = meanOf(own.z + c, own.x, own.y, room, (segments[3u * group.y] + c) * p.dim, lane);
  }
}
