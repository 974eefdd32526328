// with segments as sourceLayout
// Copies the rows of every segment to the segment of another layout. One invocation per word of the source.
struct Params { heads: u32, rowBytes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read> sourceLayout: array<u32>;
@group(0) @binding(4) var<storage, read> targetLayout: array<u32>;
@group(0) @binding(5) var<storage, read_write> destination: array<u32>;

@compute @workgroup_size(64)
fn copyRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let words = p.rowBytes / 4u;
  if (status[0] != 0u || words == 0u) { return; }
  let slot = i / words;
  let h = sourceLayoutHead(slot, p.heads);
  if (h < p.heads) { destination[(targetLayout[3u * h] + slot - sourceLayout[3u * h]) * words + i % words] = source[i]; }
}
