// What only the device knows: do segments, counts, kept indices and ids lie in their memory? Runs before the op that relies on it. The
// first complaint stands in `status` until the host has read it, and while it stands no op does anything.
// status: code, index of the instruction, id of the program. What codes mean is said in `backends/webgpu/checks.ts`.
struct Params { program: u32, instruction: u32, heads: u32, growth: u32, slots: u32, targetSlots: u32, mode: u32, block: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> status: array<u32>;
@group(0) @binding(2) var<storage, read> segments: array<u32>;
@group(0) @binding(3) var<storage, read> other: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read> keep: array<u32>;
@group(0) @binding(6) var<storage, read> ids: array<u32>;
@group(0) @binding(7) var<storage, read> second: array<u32>;

fn complain(code: u32) {
  if (status[0] != 0u) { return; }
  status[0] = code;
  status[1] = p.instruction;
  status[2] = p.program;
}

// 0, or why `length` rows from `start` do not fit.
fn fits(start: u32, length: u32, capacity: u32, slots: u32) -> u32 {
  if (length > capacity) { return 3u; }
  if (length > 0u && (length > slots || start > slots - length)) { return 1u; }
  return 0u;
}

fn layoutComplaint() -> u32 {
  for (var h = 0u; h < p.heads; h++) {
    let length = segments[3u * h + 1u];
    if (length > 0xFFFFFFFFu - p.growth) { return 3u; }
    let room = segments[3u * h + 2u];
    var wrong = fits(segments[3u * h], length + p.growth, room, p.slots);
    if (p.mode == 1u && length > 0u && wrong == 0u) { wrong = fits(segments[3u * h], room, room, p.slots); }
    if (wrong != 0u) { return wrong; }
  }
  return 0u;
}

// Rows, and in mode 1 all of the room of a head that has rows.
@compute @workgroup_size(1)
fn rows() {
  let wrong = layoutComplaint();
  if (wrong != 0u) { complain(wrong); }
}

// Rows that reach a target: all of the source's (mode 0), counts of them (1), or counts behind those that are there (2), in whole blocks.
@compute @workgroup_size(1)
fn targets() {
  for (var h = 0u; h < p.heads; h++) {
    var rows = segments[3u * h + 1u];
    if (p.mode != 0u) {
      if (counts[h] > rows) { complain(4u); return; }
      rows = counts[h];
    }
    if (p.mode == 2u) {
      let there = other[3u * h + 1u];
      if (rows > 0xFFFFFFFFu - there) { complain(3u); return; }
      if (rows > 0u && (other[3u * h] % p.block != 0u || there % p.block != 0u || rows % p.block != 0u)) { complain(5u); return; }
      rows += there;
    }
    let wrong = fits(other[3u * h], rows, other[3u * h + 2u], p.targetSlots);
    if (wrong != 0u) { complain(wrong); return; }
  }
}

// Kept indices, in mode 3 ascending ones. Several invocations may find one that is wrong; they all say the same.
@compute @workgroup_size(64)
fn kept(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u && status[0] != 4u) { return; }
  for (var h = 0u; h < p.heads; h++) {
    let start = segments[3u * h];
    if (counts[h] > segments[3u * h + 1u]) { complain(4u); return; }
    if (slot >= p.slots || slot < start || slot - start >= counts[h]) { continue; }
    if (keep[slot] >= segments[3u * h + 1u]) { complain(4u); }
    if (p.mode == 3u && slot > start && keep[slot] <= keep[slot - 1u]) { complain(4u); }
  }
}

// Lengths that become counts, or with growth grow by them.
@compute @workgroup_size(1)
fn lengths() {
  for (var h = 0u; h < p.heads; h++) {
    let there = select(0u, segments[3u * h + 1u], p.growth != 0u);
    let room = segments[3u * h + 2u];
    if (there > room || counts[h] > room - there) { complain(3u); return; }
  }
}

// Counts of rows that are there.
@compute @workgroup_size(1)
fn counted() {
  for (var h = 0u; h < p.heads; h++) {
    if (counts[h] > segments[3u * h + 1u]) { complain(4u); return; }
  }
}

// The rows of two tiers fit into one list.
@compute @workgroup_size(1)
fn joined() {
  for (var h = 0u; h < p.heads; h++) {
    // Rows of both lie in memory, so that their sum cannot overflow; starts of empty segments may be anything.
    let length = segments[3u * h + 1u] + other[3u * h + 1u];
    if (length == 0u) { continue; }
    let room = p.targetSlots - min(p.targetSlots, length);
    if (length > p.targetSlots || segments[3u * h] > room || other[3u * h] > room - segments[3u * h]) { complain(1u); return; }
  }
}

// Codes of a woven list name rows of its tiers: 2 * index, + 1 for the second.
@compute @workgroup_size(64)
fn codes(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (slot >= p.slots || (status[0] != 0u && status[0] != 4u)) { return; }
  for (var h = 0u; h < p.heads; h++) {
    if (slot < segments[3u * h] || slot - segments[3u * h] >= segments[3u * h + 1u]) { continue; }
    let code = keep[slot];
    if ((code >> 1u) >= select(other[3u * h + 1u], second[3u * h + 1u], (code & 1u) == 1u)) { complain(4u); }
  }
}

// `heads` ids below `slots`.
@compute @workgroup_size(1)
fn vocabulary() {
  for (var i = 0u; i < p.heads; i++) {
    if (ids[i] >= p.slots) { complain(2u); return; }
  }
}

// Each segment, cut off before the start of the segment in `other` and continued by `counts`, stays within its capacity.
@compute @workgroup_size(1)
fn ends() {
  for (var h = 0u; h < p.heads; h++) {
    let start = segments[3u * h];
    let cut = other[3u * h];
    let room = segments[3u * h + 2u];
    if (cut < start || cut - start > room || counts[h] > room - (cut - start)) { complain(3u); return; }
  }
}

// Indices of other rows, or none.
@compute @workgroup_size(64)
fn others(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (slot >= p.slots || (status[0] != 0u && status[0] != 4u)) { return; }
  for (var h = 0u; h < p.heads; h++) {
    let start = segments[3u * h];
    let length = segments[3u * h + 1u];
    if (slot >= start && slot - start < length && keep[slot] != 0xFFFFFFFFu && keep[slot] >= length) { complain(4u); }
  }
}
