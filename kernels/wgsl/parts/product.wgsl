// Product of the key in a slot with the query whose numbers begin at q[from].
fn product(slot: u32, first: u32) -> f32 {
  var sum = 0.0;
  let whole = p.keyDim / 4u * 4u;
  for (var c = 0u; c < whole; c += 4u) {
    let i = first + c;
    sum += dot(vec4f(q[i], q[i + 1u], q[i + 2u], q[i + 3u]), keysFour(slot, c, p.keyDim));
  }
  if (whole == p.keyDim) { return sum; }
  // Keys beyond the last channel are zeros.
  let key = keysFour(slot, whole, p.keyDim);
  sum += q[first + whole] * key.x;
  if (whole + 1u < p.keyDim) { sum += q[first + whole + 1u] * key.y; }
  if (whole + 2u < p.keyDim) { sum += q[first + whole + 2u] * key.z; }
  return sum;
}
