//! SHA-1 in the lanes of x86-64's vector registers, or in steps of the processor's own where it has no wide ones.
//!
//! In vectors the steps are those of FIPS 180-4, section 6.1.2, each on a whole register: lane by lane one message.

// A function that needs instructions which not every processor has is called where they were found; a vector is loaded
// from and stored into a slice of its size; and lines of assembly, some of them empty, keep the order that was chosen: only
// these are unsafe.
#![allow(unsafe_code)]

mod avx2;
mod avx512;
mod avx512_twice;
mod sha_ni;

use std::arch::x86_64::{__cpuid_count, CpuidResult};

use super::{BLOCK, Blocks, Compress, Engine, HELD, LANES, LAST, State};

/// What a lane without a message works on; nobody looks at what comes out.
static NOTHING: [u8; HELD + LAST] = [0; HELD + LAST];

/// The constants of section 4.2.1.
const K: [i32; 4] = [
    0x5a82_7999_u32.cast_signed(),
    0x6ed9_eba1_u32.cast_signed(),
    0x8f1b_bcdc_u32.cast_signed(),
    0xca62_c1d6_u32.cast_signed(),
];

/// *Measured* in GB/s on one core of an EPYC (Zen 5 at 4 GHz), of another (Zen 3 at 2.9 GHz), and of a Xeon (Emerald Rapids
/// at 3 GHz): AVX-512 twice 13 on the first; AVX-512 10.7 there and 6.8 on the last, and on a later one (Granite Rapids) 7.3
/// with what it takes to bring the bytes near; SHA-NI 4.0 on the second, and 5.1 and 1.6 on the others before its order was
/// chosen by hand; AVX2 3.7, 3.2, 2.9; the library 2.1, 1.6, 1.6. Other processors of Intel are taken to be like that one.
pub(super) fn engines() -> Vec<Engine> {
    let plain = |name, lanes, worthwhile, compress| Engine {
        name,
        lanes,
        worthwhile,
        takes_lent: false,
        compress,
    };
    let twice = plain("AVX-512 twice", 32, 5, avx512_twice as Compress);
    // Only there does the system tell what it holds of a file.
    let takes_lent = cfg!(all(target_os = "linux", target_env = "gnu")) && second_cache() >= ROOMY;
    let wide = Engine { takes_lent, ..plain("AVX-512", 16, 5, avx512) };
    let own = plain("SHA-NI", sha_ni::STREAMS, 2, sha_ni);
    let narrow = plain("AVX2", 8, 4, avx2);
    let mut all =
        [(has_avx512(), wide), (has_avx512(), twice), (has_sha_ni(), own), (has_avx2(), narrow)];
    if is_from(b"GenuineIntel") {
        all.swap(2, 3);
    }
    if is_from(b"AuthenticAMD") && family() >= ZEN_5 {
        all.swap(0, 1);
    }
    all.into_iter().filter_map(|(is_there, engine)| is_there.then_some(engine)).collect()
}

const ZEN_5: u32 = 0x1a;

/// Bytes of a core's second cache. *Measured* on two cores of Xeons, with files as the system holds them after they were
/// read: where it has 2 MiB (Granite Rapids), a check takes a quarter less time when nothing is read first. One with 1 MiB
/// (Skylake) took a sixth longer when the processor only fetched ahead, and was not tried since.
const ROOMY: u32 = 2 << 20;

/// Bytes of a core's second cache, of a processor of Intel: its manual, volume 2A, `CPUID` with 4. Others were not measured.
fn second_cache() -> u32 {
    const CACHES: u32 = 4;
    if !is_from(b"GenuineIntel") || cpuid(0).eax < CACHES {
        return 0;
    }
    let mut caches = (0..8).map(|nth| cpuid_count(CACHES, nth)).take_while(|it| it.eax & 0x1f != 0);
    let second = caches.find(|it| it.eax >> 5 & 7 == 2);
    second.map_or(0, |CpuidResult { ebx, ecx, .. }| {
        let [ways, parts, line] = [ebx >> 22, ebx >> 12 & 0x3ff, ebx & 0xfff].map(|it| it + 1);
        ways.saturating_mul(parts).saturating_mul(line).saturating_mul(ecx.saturating_add(1))
    })
}

fn is_from(maker: &[u8; 12]) -> bool {
    let CpuidResult { ebx, edx, ecx, .. } = cpuid(0);
    [ebx, edx, ecx].map(u32::to_le_bytes).as_flattened() == maker
}

/// AMD64 Architecture Programmer's Manual, volume 3, appendix E.3.2.
fn family() -> u32 {
    let version = cpuid(1).eax;
    (version >> 8 & 0xf) + (version >> 20 & 0xff)
}

fn cpuid(leaf: u32) -> CpuidResult {
    cpuid_count(leaf, 0)
}

#[allow(unused_unsafe, reason = "it became safe with Rust 1.94")]
fn cpuid_count(leaf: u32, nth: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor answers these.
    unsafe { __cpuid_count(leaf, nth) }
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

fn has_sha_ni() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

fn avx512(states: &mut [State; LANES], blocks: &Blocks) {
    assert!(has_avx512());
    let (data, size) = filled::<16>(blocks);
    // SAFETY: the processor has what it needs.
    unsafe { avx512::blocks(states, &data, size) }
}

fn avx512_twice(states: &mut [State; LANES], blocks: &Blocks) {
    if blocks[16..].iter().all(Option::is_none) {
        return avx512(states, blocks);
    }
    assert!(has_avx512());
    let (data, size) = filled::<32>(blocks);
    // SAFETY: the processor has what it needs.
    unsafe { avx512_twice::blocks(states, &data, size) }
}

fn sha_ni(states: &mut [State; LANES], blocks: &Blocks) {
    assert!(has_sha_ni());
    let (data, size) = filled(blocks);
    // SAFETY: the processor has what it needs.
    unsafe { sha_ni::blocks(states, &data, size) }
}

fn avx2(states: &mut [State; LANES], blocks: &Blocks) {
    assert!(has_avx2());
    let (data, size) = filled::<8>(blocks);
    // SAFETY: the processor has what it needs.
    unsafe { avx2::blocks(states, &data, size) }
}

/// Something for every lane, and the length of all.
fn filled<'a, const N: usize>(blocks: &Blocks<'a>) -> ([&'a [u8]; N], usize) {
    let size = blocks.iter().flatten().map(|blocks| blocks.len()).min().unwrap_or(0);
    (std::array::from_fn(|lane| blocks[lane].unwrap_or(&NOTHING[..size])), size)
}

/// Section 6.1.2 for one block in each lane; `$w` holds its sixteen words and becomes the message schedule. The functions
/// are those of the module that asks. After every fifth round it does something `$else`, told how many are done.
macro_rules! rounds {
    ($state:ident, $w:ident, $else:expr) => {{
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        macro_rules! round {
            ($t:expr, $k:ident, $f:ident) => {{
                const T: usize = $t;
                if T >= 16 {
                    let x = xor($w[(T + 13) % 16], $w[(T + 8) % 16]);
                    let y = xor($w[(T + 2) % 16], $w[T % 16]);
                    $w[T % 16] = here(rol::<1, 31>(xor(x, y)));
                }
                let sum = add(add(rol::<5, 27>(a), $f(b, c, d)), add(add(e, $k), $w[T % 16]));
                e = d;
                d = c;
                c = rol::<30, 2>(b);
                b = a;
                a = here(sum);
            }};
        }
        macro_rules! five {
            ($t:expr, $k:ident, $f:ident) => {
                round!($t, $k, $f);
                round!($t + 1, $k, $f);
                round!($t + 2, $k, $f);
                round!($t + 3, $k, $f);
                round!($t + 4, $k, $f);
                $else($t + 5);
            };
        }
        macro_rules! twenty {
            ($t:expr, $k:expr, $f:ident) => {
                let k = set($k);
                five!($t, k, $f);
                five!($t + 5, k, $f);
                five!($t + 10, k, $f);
                five!($t + 15, k, $f);
            };
        }
        twenty!(0, K[0], ch);
        twenty!(20, K[1], parity);
        twenty!(40, K[2], maj);
        twenty!(60, K[3], parity);
        let [h0, h1, h2, h3, h4] = $state;
        $state = [add(h0, a), add(h1, b), add(h2, c), add(h3, d), add(h4, e)];
    }};
}
use rounds;

/// States by lane → words of all lanes.
fn transpose<const N: usize>(states: &[State; LANES], words: &mut [[u32; N]; 5]) {
    for (number, word) in words.iter_mut().enumerate() {
        for (lane, state) in word.iter_mut().zip(states) {
            *lane = state[number];
        }
    }
}

/// The inverse of [`transpose`].
fn transpose_back<const N: usize>(words: &[[u32; N]; 5], states: &mut [State; LANES]) {
    for (number, word) in words.iter().enumerate() {
        for (lane, state) in word.iter().zip(&mut *states) {
            state[number] = *lane;
        }
    }
}
