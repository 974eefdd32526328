//! Four-lane arithmetic that core has no name for: fused multiply-add where the build has it, exp, log, tanh, sums.

pub use core::arch::wasm32::*;

/// "Nothing seen yet" of a maximum, finite so that differences never are NaN.
pub const SENTINEL: f32 = -1e30;

/// Loads four floats from any address.
#[inline(always)]
pub unsafe fn load(p: *const f32) -> v128 {
    v128_load(p as *const v128)
}

/// Stores four floats to any address.
#[inline(always)]
pub unsafe fn store(p: *mut f32, v: v128) {
    v128_store(p as *mut v128, v)
}

/// One float in all lanes.
#[inline(always)]
pub unsafe fn splat(p: *const f32) -> v128 {
    v128_load32_splat(p as *const u32)
}

/// Four words from four addresses.
#[inline(always)]
pub unsafe fn four_words([a, b, c, d]: [*const u32; 4]) -> v128 {
    v128_load32_lane::<3>(v128_load32_lane::<2>(v128_load32_lane::<1>(v128_load32_zero(a), b), c), d)
}

/// a * b + c, in one rounding where the build and the machine have it.
#[inline(always)]
pub fn fma(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

/// Sum of four lanes in a fixed order.
#[inline(always)]
pub fn sum(v: v128) -> f32 {
    (f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<1>(v)) + (f32x4_extract_lane::<2>(v) + f32x4_extract_lane::<3>(v))
}

/// Sum of four whole lanes.
#[inline(always)]
pub fn whole_sum(v: v128) -> i32 {
    let two = i32x4_add(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    i32x4_extract_lane::<0>(i32x4_add(two, i32x4_shuffle::<1, 0, 3, 2>(two, two)))
}

/// Maximum of four lanes.
#[inline(always)]
pub fn max(v: v128) -> f32 {
    let a = f32x4_pmax(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    f32x4_extract_lane::<0>(f32x4_pmax(a, i32x4_shuffle::<1, 0, 3, 2>(a, a)))
}

/// The largest of `count` words, 0 of none.
pub unsafe fn largest_word(p: *const u32, count: usize) -> u32 {
    let (mut most, whole) = (u32x4_splat(0), count & !3);
    for i in (0..whole).step_by(4) {
        most = u32x4_max(most, v128_load(p.add(i) as *const v128));
    }
    let most = u32x4_max(most, i32x4_shuffle::<2, 3, 0, 1>(most, most));
    let lanes = u32x4_extract_lane::<0>(most).max(u32x4_extract_lane::<1>(most));
    (whole..count).fold(lanes, |most, i| most.max(*p.add(i)))
}

/// The least of `count` words, `u32::MAX` of none, and how often it occurs.
#[inline(never)]
pub unsafe fn least_word(p: *const u32, count: usize) -> (u32, usize) {
    let (whole, four) = (count & !3, |i: usize| v128_load(p.add(i) as *const v128));
    let rest = || (whole..count).map(|i| *p.add(i));
    let least = (0..whole).step_by(4).fold(u32x4_splat(u32::MAX), |least, i| u32x4_min(least, four(i)));
    let halves = u32x4_min(least, i32x4_shuffle::<2, 3, 0, 1>(least, least));
    let least = rest().fold(u32x4_extract_lane::<0>(halves).min(u32x4_extract_lane::<1>(halves)), u32::min);
    let times = (0..whole).step_by(4).fold(i32x4_splat(0), |times, i| i32x4_sub(times, i32x4_eq(four(i), u32x4_splat(least))));
    (least, whole_sum(times) as usize + rest().filter(|word| *word == least).count())
}

/// Sums of the lanes of a, b, c, d.
#[inline(always)]
pub fn sums(a: v128, b: v128, c: v128, d: v128) -> v128 {
    let ab = f32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let cd = f32x4_add(i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    f32x4_add(i32x4_shuffle::<0, 1, 4, 5>(ab, cd), i32x4_shuffle::<2, 3, 6, 7>(ab, cd))
}

/// The same of whole numbers.
#[inline(always)]
pub fn whole_sums([a, b, c, d]: [v128; 4]) -> v128 {
    let ab = i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let cd = i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    i32x4_add(i32x4_shuffle::<0, 1, 4, 5>(ab, cd), i32x4_shuffle::<2, 3, 6, 7>(ab, cd))
}

/// A constant whose value the compiler must not look into, so that engines keep it instead of building it anew for every use.
#[inline(always)]
pub fn hidden(v: v128) -> v128 {
    let place = v;
    // SAFETY: a variable of this function.
    unsafe { (&raw const place).read_volatile() }
}

/// Four rows of four words by columns.
#[inline(always)]
pub fn transpose(r: [v128; 4]) -> [v128; 4] {
    let (a, b) = (i32x4_shuffle::<0, 4, 1, 5>(r[0], r[1]), i32x4_shuffle::<2, 6, 3, 7>(r[0], r[1]));
    let (c, d) = (i32x4_shuffle::<0, 4, 1, 5>(r[2], r[3]), i32x4_shuffle::<2, 6, 3, 7>(r[2], r[3]));
    [i64x2_shuffle::<0, 2>(a, c), i64x2_shuffle::<1, 3>(a, c), i64x2_shuffle::<0, 2>(b, d), i64x2_shuffle::<1, 3>(b, d)]
}

/// Polynomial with the highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: v128, c: [f32; N]) -> v128 {
    let mut y = f32x4_splat(c[0]);
    for k in &c[1..] {
        y = fma(y, x, f32x4_splat(*k));
    }
    y
}

/// Constants of [`exp`]. Engines build a vector constant anew, in several steps, wherever it is used; memory that the compiler must
/// not look into costs one load. In order: log2 e; 1.5 * 2^23, which rounds what it is added to to a whole number in the lowest
/// bits; ln 2 in two parts, the first with few bits so that a whole number times it is exact; then e^r on |r| <= ln 2 / 2 within
/// 1.1e-8 as 1 + r + r^2 p(r), p the interpolation of the rest in five Chebyshev points; the smallest and largest arguments.
#[used]
static mut EXP: [f32; 12] = [
    core::f32::consts::LOG2_E,
    12_582_912.0,
    -0.693_359_4,
    2.121_944_4e-4,
    0.001_392_625_1,
    0.008_363_233,
    0.041_666_556,
    0.166_665_76,
    0.5,
    1.0,
    -87.3,
    88.72,
];

#[inline(always)]
fn constant(i: usize) -> v128 {
    // SAFETY: inside the array, which nobody writes.
    unsafe { splat((&raw const EXP as *const f32).add(i)) }
}

/// e^x for x where 2^n is a normal number (-87.3 to 88.7): x = n ln 2 + r, n added to the exponent of e^r.
#[inline(always)]
fn exp_core(x: v128, c: impl Fn(usize) -> v128) -> v128 {
    let t = fma(x, c(0), c(1));
    let n = f32x4_sub(t, c(1));
    let r = fma(n, c(3), fma(n, c(2), x));
    let mut y = c(4);
    for i in [5, 6, 7, 8, 9, 9] {
        y = fma(y, r, c(i));
    }
    i32x4_add(y, i32x4_shl(t, 23))
}

/// Turns `4 * vectors` numbers x at p into e^(x - top) times `lift`, with zeros where x - top is below -87.3; their sum without the lift.
/// Constants are read once, in a way that keeps the compiler from reading them anew for every use.
#[inline(never)]
pub unsafe fn exponentials(p: *mut f32, vectors: usize, top: f32, lift: f32) -> f32 {
    let c: [v128; 11] = core::array::from_fn(|i| f32x4_splat((&raw const EXP as *const f32).add(i).read_volatile()));
    let (top, lift, mut l) = (f32x4_splat(top), f32x4_splat(lift), f32x4_splat(0.0));
    for t in 0..vectors {
        let x = f32x4_sub(load(p.add(4 * t)), top);
        let e = v128_and(exp_core(x, |i| c[i]), f32x4_gt(x, c[10]));
        l = f32x4_add(l, e);
        store(p.add(4 * t), f32x4_mul(e, lift));
    }
    sum(l)
}

/// e^x within 2 ulp; 0 below -87.3, +inf above 88.7, NaN for NaN.
#[inline(always)]
pub fn exp(x: v128) -> v128 {
    let y = v128_andnot(exp_core(x, constant), f32x4_lt(x, constant(10)));
    v128_bitselect(f32x4_splat(f32::INFINITY), y, f32x4_gt(x, constant(11)))
}

/// exp for arguments at most 88 (softmax): 0 below -87.3.
#[inline(always)]
pub fn exp_negative(x: v128) -> v128 {
    v128_and(exp_core(x, constant), f32x4_gt(x, constant(10)))
}

/// tanh: odd polynomial (Taylor, economised) below 0.625, else 1 - 2 / (e^2x + 1).
#[inline(always)]
pub fn tanh(x: v128) -> v128 {
    let a = f32x4_abs(x);
    let z = f32x4_mul(x, x);
    let c = [-5.704_988_7e-3, 2.063_908_8e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1];
    let small = fma(f32x4_mul(polynomial(z, c), z), x, x);
    let one = f32x4_splat(1.0);
    let e = exp(f32x4_add(a, a));
    let large = f32x4_sub(one, f32x4_div(f32x4_splat(2.0), f32x4_add(e, one)));
    let large = v128_or(large, v128_and(x, u32x4_splat(0x8000_0000)));
    v128_bitselect(small, large, f32x4_lt(a, f32x4_splat(0.625)))
}

/// Natural log of a positive number, correctly rounded but for rare ties: 2 atanh((m - 1) / (m + 1)) in f64.
pub fn ln(x: f32) -> f32 {
    if !(x > 0.0 && x < f32::INFINITY) {
        return if x == 0.0 { f32::NEG_INFINITY } else if x > 0.0 { x } else { f32::NAN };
    }
    let bits = (x as f64).to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | 1023 << 52);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let z = t * t;
    let mut series = 0.0;
    let mut k = 15;
    while k >= 1 {
        series = series * z + 1.0 / k as f64;
        k -= 2;
    }
    (2.0 * t * series + exponent as f64 * core::f64::consts::LN_2) as f32
}

/// exp of one number.
#[inline(always)]
pub fn exp1(x: f32) -> f32 {
    f32x4_extract_lane::<0>(exp(f32x4_splat(x)))
}

/// Square root of one number.
#[inline(always)]
pub fn sqrt1(x: f32) -> f32 {
    f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
}

/// out[i] = f(a[i]); out may be a.
#[inline(always)]
pub unsafe fn unary(a: *const f32, out: *mut f32, count: usize, f: impl Fn(v128) -> v128) {
    binary(a, a, out, count, |x, _| f(x))
}

/// Copies some hundred bytes, of which a call of the engine that copies memory makes more work.
#[inline(never)]
pub unsafe fn copy_few(from: *const u8, to: *mut u8, bytes: usize) {
    let (lines, whole) = (bytes & !63, bytes & !15);
    for i in (0..lines).step_by(64) {
        let line: [v128; 4] = core::array::from_fn(|k| v128_load(from.add(i + 16 * k) as *const v128));
        (0..4).for_each(|k| v128_store(to.add(i + 16 * k) as *mut v128, line[k]));
    }
    for i in (lines..whole).step_by(16) {
        v128_store(to.add(i) as *mut v128, v128_load(from.add(i) as *const v128));
    }
    for i in whole..bytes {
        *to.add(i) = *from.add(i);
    }
}

/// out[i] = f(a[i], b[i]); out may be a or b. The last, partial vector goes through a copy.
#[inline(always)]
pub unsafe fn binary(a: *const f32, b: *const f32, out: *mut f32, count: usize, f: impl Fn(v128, v128) -> v128) {
    let whole = count & !3;
    let mut i = 0;
    while i < whole {
        store(out.add(i), f(load(a.add(i)), load(b.add(i))));
        i += 4;
    }
    let (mut x, mut y) = ([0f32; 4], [0f32; 4]);
    for j in whole..count {
        x[j - whole] = *a.add(j);
        y[j - whole] = *b.add(j);
    }
    let mut z = [0f32; 4];
    store(z.as_mut_ptr(), f(load(x.as_ptr()), load(y.as_ptr())));
    for j in whole..count {
        *out.add(j) = z[j - whole];
    }
}
