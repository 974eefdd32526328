// a * b / divisor in 64 bits, divided bit by bit: quotient, rest, and 1 if the quotient has more than 32 bits.
fn productOver(a: u32, b: u32, divisor: u32) -> vec3u {
  let low = (a & 0xFFFFu) * (b & 0xFFFFu);
  let cross = (a >> 16u) * (b & 0xFFFFu);
  let other = (a & 0xFFFFu) * (b >> 16u);
  let middle = (low >> 16u) + (cross & 0xFFFFu) + (other & 0xFFFFu);
  var words = vec2u((a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u) + (middle >> 16u), (middle << 16u) | (low & 0xFFFFu));
  var rest = 0u;
  var quotient = 0u;
  var beyond = 0u;
  for (var bit = 0u; bit < 64u; bit++) {
    let carry = rest >> 31u;
    rest = (rest << 1u) | (words.x >> 31u);
    words = vec2u((words.x << 1u) | (words.y >> 31u), words.y << 1u);
    beyond |= quotient >> 31u;
    quotient <<= 1u;
    if (carry == 1u || rest >= divisor) {
      rest -= divisor;
      quotient |= 1u;
    }
  }
  return vec3u(quotient, rest, beyond);
}
