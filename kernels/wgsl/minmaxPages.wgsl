// with stored as keys
// Minimum and maximum of every channel over full pages of keys. One invocation per word of a page's bounds, pages from the last that had `m` fewer
// rows on; the smaller and the larger number are stored as the bits they had.
struct Params { heads: u32, dim: u32, codec: u32, page: u32, m: u32, rowBytes: u32, pages: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> bounds: array<u32>;

// The bits of channel c in the word that holds it.
fn bitsAt(slot: u32, c: u32) -> u32 {
  if (keysBits == 32u) { return keys[slot * p.dim + c]; }
  let i = slot * p.dim + c;
  return (keys[i >> 1u] >> (16u * (i & 1u))) & 0xFFFFu;
}

fn extreme(first: u32, c: u32, isMost: bool) -> u32 {
  var found = first;
  for (var slot = first + 1u; slot < first + p.page; slot++) {
    let x = keysAt(slot, c, p.dim);
    let y = keysAt(found, c, p.dim);
    if ((isMost && x > y) || (!isMost && x < y)) { found = slot; }
  }
  return bitsAt(found, c);
}

// Number i of the minima, then maxima, of the page from slot `first` on.
fn bound(first: u32, i: u32) -> u32 {
  if (i < p.dim) { return extreme(first, i, false); }
  return extreme(first, i - p.dim, true);
}

@compute @workgroup_size(64)
fn minmaxPages(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let words = max(1u, 2u * p.dim * keysBits / 32u);
  let h = i / words / max(1u, p.pages);
  if (status[0] != 0u || h >= p.heads) { return; }
  let length = segments[3u * h + 1u];
  var page = i / words % p.pages;
  if (p.m > 0u) { page += (length - min(length, p.m)) / p.page; }
  if (page >= length / p.page) { return; }
  let first = segments[3u * h] + page * p.page;
  let word = i % words;
  let at = first * (p.rowBytes / 4u) + word;
  if (keysBits == 32u) { bounds[at] = bound(first, word); }
  else { bounds[at] = bound(first, 2u * word) | (bound(first, 2u * word + 1u) << 16u); }
}
