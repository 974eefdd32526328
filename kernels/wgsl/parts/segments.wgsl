// The head whose rows hold a slot, or `heads` if it holds none; the layout is the binding `segments`. A shader takes this part in under the name of its
// binding.
fn segmentsHead(slot: u32, heads: u32) -> u32 {
  for (var h = 0u; h < heads; h++) {
    let start = segments[3u * h];
    if (slot >= start && slot - start < segments[3u * h + 1u]) { return h; }
  }
  return heads;
}
