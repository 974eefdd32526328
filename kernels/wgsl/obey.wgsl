// with order, scan, select, wide, rules
// 1 for the rows that the head's rule keeps, 0 for the others. One workgroup per head.
struct Params { heads: u32, numerator: u32, denominator: u32, window: u32, sinks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> mass: array<f32>;
@group(0) @binding(3) var<storage, read> kind: array<f32>;
@group(0) @binding(4) var<storage, read> rules: array<f32>;
@group(0) @binding(5) var<storage, read> position: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read> newest: array<u32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
var<workgroup> largest: atomic<u32>;
var<workgroup> rule: u32;

// The head's rule; bits of numbers from 0 grow with them.
fn ruleOf(start: u32, length: u32, lane: u32) -> u32 {
  var most = 0.0;
  for (var t = lane; t < length; t += 256u) { most = max(most, rules[start + t]); }
  if (lane == 0u) { atomicStore(&largest, 0u); }
  workgroupBarrier();
  atomicMax(&largest, bitcast<u32>(most));
  workgroupBarrier();
  if (lane == 0u) {
    rule = u32(bitcast<f32>(atomicLoad(&largest)));
    if (rule == 0u) { rule = 5u; }
  }
  return workgroupUniformLoad(&rule);
}

@compute @workgroup_size(256)
fn obey(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let stage = ruleOf(start, length, lane);
  let limit = limitOf(group.x, stage, lane);
  var taken = 0u;
  for (var base = 0u; base < length; base += 256u) {
    let isRow = base + lane < length;
    let row = keeps(start + base + lane, isRow, stage, limit, taken, lane);
    taken += row.y;
    if (isRow) { result[start + base + lane] = f32(row.x); }
  }
}
