// with stored as source, stored as destination, half, encoded as destination, segments as sourceLayout
// Encodes row keep[start_h + i] of the source, i < counts[h], behind the rows of the target's segment. `copy` between equal codecs, an invocation per
// word; `coarsen` from codes to codes of fewer bits, `rows` to rows that stand alone, an invocation per piece; `blocks` to codes per channel, an
// invocation per block and word of channels.
struct Params { heads: u32, dim: u32, sourceCodec: u32, targetCodec: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read> keep: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read> sourceLayout: array<u32>;
@group(0) @binding(6) var<storage, read> targetLayout: array<u32>;
@group(0) @binding(7) var<storage, read_write> destination: array<u32>;

// Number of a source slot among those that move, of its head; the slot it moves to. The head's number is `heads` if the slot names no row.
struct Move { head: u32, row: u32, slot: u32 }

fn moveOf(slot: u32) -> Move {
  let h = sourceLayoutHead(slot, p.heads);
  if (h == p.heads) { return Move(h, 0u, 0u); }
  let start = sourceLayout[3u * h];
  if (slot - start >= counts[h]) { return Move(p.heads, 0u, 0u); }
  return Move(h, start + keep[slot], targetLayout[3u * h] + targetLayout[3u * h + 1u] + slot - start);
}

fn destinationSource(row: u32, c: u32) -> f32 { return sourceAt(row, c, p.dim); }

@compute @workgroup_size(64)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let words = max(1u, sourceWords(p.dim));
  if (status[0] != 0u || i / words >= p.slots) { return; }
  let one = moveOf(i / words);
  if (one.head < p.heads) { destination[one.slot * words + i % words] = source[one.row * words + i % words]; }
}

@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let pieces = max(1u, p.dim / destinationChannels());
  if (status[0] != 0u || i / pieces >= p.slots) { return; }
  let one = moveOf(i / pieces);
  if (one.head < p.heads) { destinationPut(one.slot, i % pieces, p.dim, one.row); }
}

fn coarsenGroup(one: Move, piece: u32) {
  let factor = sourceMost() / destinationMost();
  let pair = source[one.row * sourceWords(p.dim) + piece];
  let scale = min(65504.0, unpack2x16float(pair).x * f32(factor));
  let base = one.slot * destinationWords(p.dim);
  destination[base + piece] = (pair & 0xFFFF0000u) | halfBits(scale);
  let perWord = 32u / destinationBits;
  let first = piece * destinationGroup;
  for (var w = 0u; w < destinationGroup / perWord; w++) {
    var word = 0u;
    for (var i = 0u; i < perWord; i++) {
      let c = first + w * perWord + i;
      let code = (sourceCode(one.row, c, p.dim) >> (c * sourceBits % 32u)) & sourceMost();
      word |= ((code + (factor - 1u) / 2u) / factor) << (i * destinationBits);
    }
    destination[base + p.dim / destinationGroup + first / perWord + w] = word;
  }
}

@compute @workgroup_size(64)
fn coarsen(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let pieces = max(1u, p.dim / destinationGroup);
  if (status[0] != 0u || i / pieces >= p.slots) { return; }
  let one = moveOf(i / pieces);
  if (one.head < p.heads) { coarsenGroup(one, i % pieces); }
}

// Scale and offset of channel c over the block whose kept indices begin at `slot`.
fn channelRange(start: u32, slot: u32, c: u32) -> u32 {
  var low = 3.4028234e38;
  var high = -3.4028234e38;
  for (var r = 0u; r < destinationBlock; r++) {
    let x = sourceAt(start + keep[slot + r], c, p.dim);
    low = select(low, x, x < low);
    high = select(high, x, x > high);
  }
  return destinationRange(low, high);
}

// A word's channels of a block of rows.
fn putBlock(start: u32, slot: u32, to: u32, column: u32) {
  let perWord = 32u / destinationBits;
  let first = column * perWord;
  let base = to / destinationBlock * destinationWords(p.dim);
  var ranges: array<u32, 16>;
  for (var i = 0u; i < perWord; i++) { ranges[i] = channelRange(start, slot, first + i); }
  for (var i = 0u; i < perWord; i += 2u) {
    let at = base + (first + i) / 2u;
    destination[at] = (ranges[i] & 0xFFFFu) | (ranges[i + 1u] << 16u);
    destination[at + p.dim / 2u] = (ranges[i] >> 16u) | (ranges[i + 1u] & 0xFFFF0000u);
  }
  for (var r = 0u; r < destinationBlock; r++) {
    let row = start + keep[slot + r];
    var word = 0u;
    for (var i = 0u; i < perWord; i++) {
      let pair = unpack2x16float(ranges[i]);
      word |= destinationNumber(sourceAt(row, first + i, p.dim) - pair.y, pair.x, destinationMost()) << (i * destinationBits);
    }
    destination[base + p.dim + (r * p.dim + first) * destinationBits / 32u] = word;
  }
}

@compute @workgroup_size(64)
fn blocks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let columns = max(1u, p.dim * destinationBits / 32u);
  let slot = i / columns;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let one = moveOf(slot);
  if (one.head >= p.heads) { return; }
  let start = sourceLayout[3u * one.head];
  if ((slot - start) % destinationBlock == 0u) { putBlock(start, slot, one.slot, i % columns); }
}
