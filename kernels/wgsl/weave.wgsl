// with segments as firstLayout, segments as secondLayout, ascending as firstPosition, ascending as secondPosition
// The rows of two tiers as one list per head, ascending by position. One invocation per slot of the first tier, then per slot of the second; each row
// counts the other tier's rows before it. The list's layout is written by as many invocations as there are heads.
struct Params { heads: u32, firstSlots: u32, secondSlots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> firstPosition: array<u32>;
@group(0) @binding(3) var<storage, read> firstLayout: array<u32>;
@group(0) @binding(4) var<storage, read> secondPosition: array<u32>;
@group(0) @binding(5) var<storage, read> secondLayout: array<u32>;
@group(0) @binding(6) var<storage, read_write> order: array<u32>;
@group(0) @binding(7) var<storage, read_write> wovenLayout: array<u32>;

fn putFirst(slot: u32) {
  let h = firstLayoutHead(slot, p.heads);
  if (h == p.heads) { return; }
  let i = slot - firstLayout[3u * h];
  let other = secondLayout[3u * h];
  order[slot + other + secondPositionBelow(other, secondLayout[3u * h + 1u], firstPosition[slot])] = 2u * i;
}

fn putSecond(slot: u32) {
  let h = secondLayoutHead(slot, p.heads);
  if (h == p.heads) { return; }
  let i = slot - secondLayout[3u * h];
  let other = firstLayout[3u * h];
  order[slot + other + firstPositionUpTo(other, firstLayout[3u * h + 1u], secondPosition[slot])] = 2u * i + 1u;
}

@compute @workgroup_size(64)
fn weave(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u) { return; }
  if (i < 3u * p.heads) { wovenLayout[i] = firstLayout[i] + secondLayout[i]; }
  if (i < p.firstSlots) { putFirst(i); }
  else if (i - p.firstSlots < p.secondSlots) { putSecond(i - p.firstSlots); }
}
