// with order, scan, select, wide, rules
// The number of the first rule that keeps a row and recovers enough, in all rows of a head. One workgroup per head.
struct Params { heads: u32, numerator: u32, denominator: u32, window: u32, sinks: u32, recovery: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> mass: array<f32>;
@group(0) @binding(3) var<storage, read> near: array<f32>;
@group(0) @binding(4) var<storage, read> kind: array<f32>;
@group(0) @binding(5) var<storage, read> position: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read> newest: array<u32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
var<workgroup> isFound: u32;

// Two sums of f32 that together hold about 48 bits.
fn added(sum: vec2f, x: f32) -> vec2f {
  let total = sum.x + x;
  let part = total - sum.x;
  return vec2f(total, sum.y + ((sum.x - (total - part)) + (x - part)));
}

// sum >= recovery * seen. The product is exact in parts: 12 bits of the recovery times 16 of what was seen.
fn isEnough(sum: vec2f) -> bool {
  let high = bitcast<f32>(bitcast<u32>(p.recovery) & 0xFFFFF000u);
  let parts = vec2f(high, p.recovery - high);
  let n = vec2f(f32(seen() & 0xFFFF0000u), f32(seen() & 0xFFFFu));
  var least = vec2f(parts.x * n.x, 0.0);
  least = added(least, parts.x * n.y);
  least = added(least, parts.y * n.x);
  least = added(least, parts.y * n.y);
  return sum.x - least.x + (sum.y - least.y) >= 0.0;
}

fn isRule(h: u32, rule: u32, lane: u32) -> bool {
  let start = segments[3u * h];
  let length = segments[3u * h + 1u];
  let limit = limitOf(h, rule, lane);
  var taken = 0u;
  var kept = 0u;
  var recovered = vec2f(0.0);
  for (var base = 0u; base < length; base += 256u) {
    let slot = start + base + lane;
    let row = keeps(slot, base + lane < length, rule, limit, taken, lane);
    taken += row.y;
    kept += row.x;
    if (row.x == 1u) {
      if (isLocal(slot, rule) && !isAlways(slot, rule)) { recovered = added(recovered, near[slot]); }
      else { recovered = added(recovered, mass[slot]); }
    }
  }
  let rows = sumOf(kept, lane);
  highs[lane] = recovered.x;
  lows[lane] = recovered.y;
  workgroupBarrier();
  if (lane == 0u) {
    var sum = vec2f(0.0);
    for (var l = 0u; l < 256u; l++) { sum = added(vec2f(sum.x, sum.y + lows[l]), highs[l]); }
    isFound = u32(rows > 0u && isEnough(sum));
  }
  return workgroupUniformLoad(&isFound) == 1u;
}

var<workgroup> highs: array<f32, 256>;
var<workgroup> lows: array<f32, 256>;

@compute @workgroup_size(256)
fn profile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  var rule = 1u;
  while (rule < 5u) {
    if (isRule(group.x, rule, lane)) { break; }
    rule++;
  }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  for (var t = lane; t < length; t += 256u) { result[start + t] = f32(rule); }
}
