// with stored as keys, stored as values, half, ascending as keep, segments
// Folds the values of rows that are not kept into their nearest kept rows. `norms`: the length of kept keys to the end of `weight`. `nearest`: one
// invocation per row that goes finds its place and weight. `fold`: one workgroup per kept row adds what chose it, an invocation per word.
struct Params { heads: u32, keyDim: u32, valueDim: u32, keyCodec: u32, valueCodec: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> keep: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;
@group(0) @binding(7) var<storage, read_write> weight: array<f32>;

fn dotKeys(a: u32, b: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < p.keyDim; c += 4u) { sum += dot(keysFour(a, c, p.keyDim), keysFour(b, c, p.keyDim)); }
  return sum;
}

fn keyNorm(slot: u32) -> f32 { return max(sqrt(dotKeys(slot, slot)), 1e-12); }

fn valueNorm(slot: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < p.valueDim; c += 4u) {
    let four = valuesFour(slot, c, p.valueDim);
    sum += dot(four, four);
  }
  return sqrt(sum);
}

@compute @workgroup_size(64)
fn norms(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads || slot - segments[3u * h] >= counts[h]) { return; }
  weight[slot + segments[3u * h + 1u] - counts[h]] = keyNorm(segments[3u * h] + keep[slot]);
}

fn choose(start: u32, length: u32, count: u32, t: u32) {
  let i = t - keepBelow(start, count, t);
  let norm = keyNorm(start + t);
  var most = 0.0;
  var at = 0u;
  for (var place = 0u; place < count; place++) {
    let cosine = dotKeys(start + t, start + keep[start + place]) / norm / weight[start + length - count + place];
    if (place == 0u || cosine > most) {
      most = cosine;
      at = place;
    }
  }
  let own = valueNorm(start + t);
  let both = own + valueNorm(start + keep[start + at]);
  keep[start + count + i] = at;
  var share = 0.0;
  if (both > 0.0) { share = max(0.0, most) * own / both; }
  weight[start + i] = share;
}

@compute @workgroup_size(64)
fn nearest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads || counts[h] == 0u) { return; }
  let start = segments[3u * h];
  let place = keepBelow(start, counts[h], slot - start);
  if (place < counts[h] && keep[start + place] == slot - start) { return; }
  choose(start, segments[3u * h + 1u], counts[h], slot - start);
}

// The values of one word of kept row number `place`, with all that chose it.
fn foldWord(start: u32, length: u32, count: u32, place: u32, c: u32) {
  let own = start + keep[start + place];
  var sum = vec2f(valuesAt(own, c, p.valueDim), 0.0);
  if (valuesBits == 16u) { sum.y = valuesAt(own, c + 1u, p.valueDim); }
  var total = 1.0;
  var next = 0u;
  for (var t = 0u; t < length; t++) {
    if (next < count && keep[start + next] == t) {
      next += 1u;
      continue;
    }
    if (keep[start + count + t - next] != place) { continue; }
    let share = weight[start + t - next];
    total += share;
    sum.x += share * valuesAt(start + t, c, p.valueDim);
    if (valuesBits == 16u) { sum.y += share * valuesAt(start + t, c + 1u, p.valueDim); }
  }
  if (total == 1.0) { return; }
  sum /= total;
  if (valuesBits == 16u) { values[(own * p.valueDim + c) / 2u] = halfBits(sum.x) | (halfBits(sum.y) << 16u); }
  else { values[own * p.valueDim + c] = bitcast<u32>(sum.x); }
}

@compute @workgroup_size(64)
fn fold(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = group.y * groups.x + group.x;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let step = 32u / valuesBits;
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads || slot - segments[3u * h] >= counts[h]) { return; }
  let start = segments[3u * h];
  for (var c = lane * step; c < p.valueDim; c += 64u * step) { foldWord(start, segments[3u * h + 1u], counts[h], slot - start, c); }
}
