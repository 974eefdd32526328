// A bit for each of 256 rows.
var<workgroup> labelled: array<atomic<u32>, 8>;

// The sum of channel c of the rows from `slot` on that have a bit.
fn labelledSum(slot: u32, c: u32) -> f32 {
  var sum = 0.0;
  for (var w = 0u; w < 8u; w++) {
    for (var bits = atomicLoad(&labelled[w]); bits != 0u; bits &= bits - 1u) {
      sum += keysAt(slot + 32u * w + firstTrailingBit(bits), c, p.dim);
    }
  }
  return sum;
}

// To means[to] the mean of those of `rows` rows from `slot` on that have the label; how many these are. 256 invocations, each of which has every 256th
// channel for itself.
fn meanOf(label: u32, slot: u32, rows: u32, room: u32, to: u32, lane: u32) -> u32 {
  var taken = 0u;
  for (var base = 0u; base < rows; base += 256u) {
    if (lane < 8u) { atomicStore(&labelled[lane], 0u); }
    workgroupBarrier();
    if (base + lane < rows && labelAt(slot + base + lane, room) == label) { atomicOr(&labelled[lane / 32u], 1u << (lane % 32u)); }
    workgroupBarrier();
    var count = 0u;
    for (var w = 0u; w < 8u; w++) { count += countOneBits(atomicLoad(&labelled[w])); }
    if (count > 0u) {
      for (var c = lane; c < p.dim; c += 256u) {
        var sum = labelledSum(slot + base, c);
        if (taken > 0u) { sum += means[to + c]; }
        means[to + c] = sum;
      }
    }
    taken += count;
    workgroupBarrier();
  }
  if (taken > 0u) {
    for (var c = lane; c < p.dim; c += 256u) { means[to + c] /= f32(taken); }
  }
  return taken;
}
