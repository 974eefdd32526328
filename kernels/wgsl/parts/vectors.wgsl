// Products of a key with rows of numbers in the binding `vectors`, four at a time. A shader takes this part in under the name of its binding.

// Numbers c to c + 3 of the row that begins at vectors[first]; zeros beyond dim.
fn vectorsQuad(first: u32, c: u32, dim: u32) -> vec4f {
  let i = first + c;
  if (c + 3u < dim) { return vec4f(vectors[i], vectors[i + 1u], vectors[i + 2u], vectors[i + 3u]); }
  var last = vec4f(vectors[i], 0.0, 0.0, 0.0);
  if (c + 1u < dim) { last.y = vectors[i + 1u]; }
  if (c + 2u < dim) { last.z = vectors[i + 2u]; }
  return last;
}

// The key in a slot times the rows that begin at vectors[first], `step` apart; of fewer than four, the last again.
fn vectorsProducts(slot: u32, first: u32, step: u32, count: u32, dim: u32) -> vec4f {
  let at = vec4u(first) + step * min(vec4u(0u, 1u, 2u, 3u), vec4u(count - 1u));
  var sums = vec4f(0.0);
  for (var c = 0u; c < dim; c += 4u) {
    let key = keysFour(slot, c, dim);
    for (var j = 0u; j < 4u; j++) { sums[j] += dot(vectorsQuad(at[j], c, dim), key); }
  }
  return sums;
}
