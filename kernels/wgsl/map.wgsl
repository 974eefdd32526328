// with segments
// Elementwise fn over [0, count), or with a layout over the rows of a column only. `result` may be a or b: then the override says so,
// because memory that is written may be bound once only.
override isOnA: bool = false;
override isOnB: bool = false;
override isColumn: bool = false;
struct Params { fun: u32, count: u32, value: f32, heads: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;

// 1 - Phi(x) for x from 0: a series below 3 (Abramowitz and Stegun 26.2.11), a continued fraction above (26.2.14).
fn tail(x: f32) -> f32 {
  let density = exp(-0.5 * x * x) * 0.3989422804;
  if (x < 3.0) {
    var term = x;
    var sum = x;
    for (var n = 3.0; n < 80.0; n += 2.0) {
      term *= x * x / n;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  var fraction = x;
  for (var n = 30.0; n > 0.0; n -= 1.0) { fraction = x + n / fraction; }
  return density / fraction;
}

fn gelu(x: f32) -> f32 {
  let beyond = tail(abs(x));
  return select(x - x * beyond, x * beyond, x < 0.0);
}

fn apply(x: f32, y: f32) -> f32 {
  switch p.fun {
    case 0u: { return x + y; }
    case 1u: { return x - y; }
    case 2u: { return x * y; }
    case 3u: { return x / y; }
    case 4u: { return max(x, y); }
    case 5u: { return min(x, y); }
    case 6u: { return -x; }
    case 7u: { return abs(x); }
    case 8u: { return exp(x); }
    case 9u: { return log(max(x, 1e-30)); }
    case 10u: { return sqrt(max(x, 0.0)); }
    case 11u: { return x * p.value; }
    case 12u: { return x + p.value; }
    case 13u: { return p.value; }
    case 15u: { return gelu(x); }
    default: { return x; }
  }
}

@compute @workgroup_size(64)
fn map(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || i >= p.slots) { return; }
  if (isColumn && segmentsHead(i, p.heads) == p.heads) { return; }
  var x = 0.0;
  var y = 0.0;
  if (isOnA) { x = result[i]; } else { x = a[i]; }
  if (isOnB) { y = result[i]; } else { y = b[i]; }
  result[i] = apply(x, y);
}
