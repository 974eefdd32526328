// with ascending as position, ascending as rows, ascending as places
// Moves the last counts[h] rows of each segment to where their positions belong among those before. One workgroup per head and strip of up to 16 words;
// 64 arrivals at a time are held in workgroup memory, while the rows behind the first of them move up, the last ones first. The override says that
// the rows are the positions themselves.
override isItself: bool = false;
struct Params { heads: u32, rowBytes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> position: array<u32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> rows: array<u32>;
// Words of arrivals, and the index each of them goes to.
var<workgroup> held: array<u32, 1024>;
var<workgroup> places: array<u32, 64>;

// Where arrival number `first + i` goes, which stands behind `old` rows. Of positions that have moved, earlier arrivals are among those searched.
fn placeOf(start: u32, old: u32, first: u32, i: u32) -> u32 {
  if (isItself) { return rowsUpTo(start, old + first, rows[start + old + first + i]) + i; }
  return positionUpTo(start, old, position[start + old + first + i]) + first + i;
}

@compute @workgroup_size(64)
fn insertRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let words = p.rowBytes / 4u;
  let wide = min(words, 16u);
  let high = 64u / wide;
  let word = group.y * wide + lane % wide;
  let isInside = word < words && lane / wide < high;
  let start = segments[3u * group.x];
  let count = counts[group.x];
  let old = segments[3u * group.x + 1u] - count;
  for (var first = 0u; first < count; first += 64u) {
    let taken = min(64u, count - first);
    if (lane < taken) { places[lane] = placeOf(start, old, first, lane); }
    for (var i = lane / wide; i < taken; i += high) {
      if (isInside) { held[i * 16u + lane % wide] = rows[(start + old + first + i) * words + word]; }
    }
    let lowest = workgroupUniformLoad(&places[0]);
    for (var end = old + first + taken; end > lowest; end -= min(high, end)) {
      // Row n of the result, counted from the last.
      let n = end - 1u - lane / wide;
      let isMoved = isInside && lane / wide < end - lowest;
      var value = 0u;
      if (isMoved) {
        let below = placesBelow(0u, taken, n);
        if (below < taken && places[below] == n) { value = held[below * 16u + lane % wide]; }
        else { value = rows[(start + n - below) * words + word]; }
      }
      storageBarrier();
      if (isMoved) { rows[(start + n) * words + word] = value; }
      storageBarrier();
    }
    workgroupBarrier();
  }
}
