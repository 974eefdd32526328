// with stored as firstRows, stored as secondRows, half, stored as wovenRows, encoded as wovenRows, segments as wovenLayout
// The rows of a woven list: decoded and encoded again, or copied where a tier has the list's codec. One invocation per piece of a row.
override firstIsCopied: bool = false;
override secondIsCopied: bool = false;
struct Params { heads: u32, dim: u32, firstCodec: u32, secondCodec: u32, wovenCodec: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> firstRows: array<u32>;
@group(0) @binding(3) var<storage, read> firstLayout: array<u32>;
@group(0) @binding(4) var<storage, read> secondRows: array<u32>;
@group(0) @binding(5) var<storage, read> secondLayout: array<u32>;
@group(0) @binding(6) var<storage, read> order: array<u32>;
@group(0) @binding(7) var<storage, read> wovenLayout: array<u32>;
@group(0) @binding(8) var<storage, read_write> wovenRows: array<u32>;

// A row is told by twice its slot, plus one in the second tier.
fn wovenRowsSource(row: u32, c: u32) -> f32 {
  if ((row & 1u) == 0u) { return firstRowsAt(row >> 1u, c, p.dim); }
  return secondRowsAt(row >> 1u, c, p.dim);
}

fn wordOf(row: u32, i: u32) -> u32 {
  let at = (row >> 1u) * wovenRowsWords(p.dim) + i;
  if ((row & 1u) == 0u) { return firstRows[at]; }
  return secondRows[at];
}

// The words that `wovenRowsPut` would write: one of plain numbers, a whole row of some channels, or scale and offset of a group and its codes.
fn copyPiece(slot: u32, piece: u32, row: u32) {
  let base = slot * wovenRowsWords(p.dim);
  if (wovenRowsKept > 0u) {
    for (var i = 0u; i < wovenRowsWords(p.dim); i++) { wovenRows[base + i] = wordOf(row, i); }
    return;
  }
  wovenRows[base + piece] = wordOf(row, piece);
  if (wovenRowsBits >= 16u) { return; }
  let words = wovenRowsGroup * wovenRowsBits / 32u;
  let first = p.dim / wovenRowsGroup + piece * words;
  for (var i = first; i < first + words; i++) { wovenRows[base + i] = wordOf(row, i); }
}

@compute @workgroup_size(64)
fn weaveRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let pieces = max(1u, p.dim / wovenRowsChannels());
  let slot = i / pieces;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = wovenLayoutHead(slot, p.heads);
  if (h == p.heads) { return; }
  let code = order[slot];
  let start = select(firstLayout[3u * h], secondLayout[3u * h], (code & 1u) == 1u);
  let row = 2u * start + code;
  if (select(firstIsCopied, secondIsCopied, (code & 1u) == 1u)) { copyPiece(slot, i % pieces, row); }
  else { wovenRowsPut(slot, i % pieces, p.dim, row); }
}
