// with order, scan, select
// Infinity for the best rows of each head, `otherwise` for the others. One workgroup per head.
struct Params { heads: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> score: array<u32>;
@group(0) @binding(3) var<storage, read> otherwise: array<u32>;
@group(0) @binding(5) var<storage, read> segments: array<u32>;
@group(0) @binding(6) var<storage, read_write> result: array<u32>;

fn keyOf(slot: u32, stage: u32) -> u32 { return orderKey(score[slot]); }

fn competes(slot: u32, stage: u32) -> bool { return true; }

@compute @workgroup_size(256)
fn promote(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let wanted = min(length, p.count);
  var limit = vec2u(0xFFFFFFFFu, 0u);
  if (wanted > 0u) { limit = bar(group.x, group.x + 1u, 0u, wanted, lane); }
  var taken = 0u;
  for (var base = 0u; base < length; base += 256u) {
    let slot = start + base + lane;
    let isRow = base + lane < length;
    var key = 0u;
    if (isRow) { key = keyOf(slot, 0u); }
    let isTie = isRow && key == limit.x;
    let order = ranked(u32(isTie), lane);
    if (isRow) {
      let isBest = wanted > 0u && (key > limit.x || (isTie && taken + order.x < limit.y));
      result[slot] = select(otherwise[slot], 0x7F800000u, isBest);
    }
    taken += order.y;
  }
}
