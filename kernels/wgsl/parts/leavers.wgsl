// How many of the first `count` numbers of `keep` from `start` on, which ascend, are below t.
fn keptBelow(start: u32, count: u32, t: u32) -> u32 {
  var below = 0u;
  var end = count;
  while (below < end) {
    let middle = (below + end) / 2u;
    if (keep[start + middle] < t) { below = middle + 1u; } else { end = middle; }
  }
  return below;
}
