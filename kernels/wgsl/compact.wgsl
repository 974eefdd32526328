// with segments as sourceLayout
// Moves row keep[start_h + i] of the source to row i of the target, i < counts[h].
struct Params { heads: u32, rowBytes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read> keep: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read> sourceLayout: array<u32>;
@group(0) @binding(6) var<storage, read> targetLayout: array<u32>;
@group(0) @binding(7) var<storage, read_write> destination: array<u32>;

// Into other memory: one invocation per word, addressed by the source slot that holds the kept index.
@compute @workgroup_size(64)
fn apart(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let words = p.rowBytes / 4u;
  if (status[0] != 0u || words == 0u) { return; }
  let slot = i / words;
  let h = sourceLayoutHead(slot, p.heads);
  if (h == p.heads) { return; }
  let start = sourceLayout[3u * h];
  if (slot - start >= counts[h]) { return; }
  destination[(targetLayout[3u * h] + slot - start) * words + i % words] = source[(start + keep[slot]) * words + i % words];
}

// In place: one workgroup per head and strip of up to 16 words. Kept indices ascend, so a step reads only rows that no earlier step
// has written; within a step the barrier separates reading from writing.
@compute @workgroup_size(64)
fn within(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let words = p.rowBytes / 4u;
  let wide = min(words, 16u);
  let high = 64u / wide;
  let h = group.x;
  let start = sourceLayout[3u * h];
  let count = counts[h];
  let word = group.y * wide + lane % wide;
  let isInside = word < words && lane / wide < high;
  for (var first = 0u; first < count; first += high) {
    let i = first + lane / wide;
    var value = 0u;
    if (isInside && i < count) { value = destination[(start + keep[start + i]) * words + word]; }
    storageBarrier();
    if (isInside && i < count) { destination[(targetLayout[3u * h] + i) * words + word] = value; }
    storageBarrier();
  }
}
