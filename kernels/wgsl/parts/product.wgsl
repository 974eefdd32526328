// Product of the key in a slot with the query whose numbers begin at q[from].
fn product(slot: u32, first: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < p.keyDim; c += 4u) {
    let key = keysFour(slot, c, p.keyDim);
    let i = first + c;
    if (c + 3u < p.keyDim) {
      sum += dot(vec4f(q[i], q[i + 1u], q[i + 2u], q[i + 3u]), key);
      continue;
    }
    for (var j = 0u; j < p.keyDim - c; j++) { sum += q[i + j] * key[j]; }
  }
  return sum;
}
