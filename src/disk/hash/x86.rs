//! SHA-1 in the lanes of x86-64's vector registers, or in steps of the processor's own where it has no wide ones.
//!
//! In vectors the steps are those of FIPS 180-4, section 6.1.2, each on a whole register: lane by lane one message.

// A function that needs instructions which not every processor has is called where they were found, and a
// vector is loaded from a slice of its size: only these two are unsafe.
#![allow(unsafe_code)]

mod sha_ni;

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    _mm512_add_epi32, _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_set4_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::{BLOCK, Blocks, Engine, LANES, ROOM, State};

/// What a lane without a message works on; nobody looks at what comes out.
static NOTHING: [u8; ROOM] = [0; ROOM];

/// The constants of section 4.2.1.
const K: [i32; 4] = [
    0x5a82_7999_u32.cast_signed(),
    0x6ed9_eba1_u32.cast_signed(),
    0x8f1b_bcdc_u32.cast_signed(),
    0xca62_c1d6_u32.cast_signed(),
];

/// *Measured* on one core of two machines: AVX-512 6.5 GB/s; SHA-NI 4.1, AVX2 3.7, the library 1.7.
pub(super) fn engines() -> Vec<Engine> {
    let wide = Engine { name: "AVX-512", lanes: 16, worthwhile: 5, compress: avx512 };
    let own = Engine { name: "SHA-NI", lanes: sha_ni::STREAMS, worthwhile: 2, compress: sha_ni };
    let narrow = Engine { name: "AVX2", lanes: 8, worthwhile: 4, compress: avx2 };
    let all = [(has_avx512(), wide), (has_sha_ni(), own), (has_avx2(), narrow)];
    all.into_iter().filter_map(|(is_there, engine)| is_there.then_some(engine)).collect()
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
    unsafe { avx512_blocks(states, &data, size) }
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
    unsafe { avx2_blocks(states, &data, size) }
}

/// Something for every lane, and the length of all.
fn filled<'a, const N: usize>(blocks: &Blocks<'a>) -> ([&'a [u8]; N], usize) {
    let size = blocks.iter().flatten().map(|blocks| blocks.len()).min().unwrap_or(0);
    (std::array::from_fn(|lane| blocks[lane].unwrap_or(&NOTHING[..size])), size)
}

/// Section 6.1.2 for one block in each lane; `$w` holds its sixteen words and becomes the message schedule.
macro_rules! rounds {
    ($state:ident, $w:ident, $set:ident, $add:ident, $xor:ident, $rol:ident, $ch:ident, $parity:ident, $maj:ident) => {{
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        macro_rules! round {
            ($t:expr, $k:ident, $f:ident) => {{
                const T: usize = $t;
                if T >= 16 {
                    let x = $xor($w[(T + 13) % 16], $w[(T + 8) % 16]);
                    let y = $xor($w[(T + 2) % 16], $w[T % 16]);
                    $w[T % 16] = $rol::<1, 31>($xor(x, y));
                }
                let sum = $add($add($rol::<5, 27>(a), $f(b, c, d)), $add($add(e, $k), $w[T % 16]));
                e = d;
                d = c;
                c = $rol::<30, 2>(b);
                b = a;
                a = sum;
            }};
        }
        macro_rules! five {
            ($t:expr, $k:ident, $f:ident) => {
                round!($t, $k, $f);
                round!($t + 1, $k, $f);
                round!($t + 2, $k, $f);
                round!($t + 3, $k, $f);
                round!($t + 4, $k, $f);
            };
        }
        macro_rules! twenty {
            ($t:expr, $k:expr, $f:ident) => {
                let k = $set($k);
                five!($t, k, $f);
                five!($t + 5, k, $f);
                five!($t + 10, k, $f);
                five!($t + 15, k, $f);
            };
        }
        twenty!(0, K[0], $ch);
        twenty!(20, K[1], $parity);
        twenty!(40, K[2], $maj);
        twenty!(60, K[3], $parity);
        let [h0, h1, h2, h3, h4] = $state;
        $state = [$add(h0, a), $add(h1, b), $add(h2, c), $add(h3, d), $add(h4, e)];
    }};
}

#[target_feature(enable = "avx512f,avx512bw")]
fn avx512_blocks(states: &mut [State; LANES], data: &[&[u8]; 16], size: usize) {
    let mut words = [[0_u32; 16]; 5];
    turn(states, &mut words);
    // SAFETY: each array is as large as a register.
    let mut state = words.map(|word| unsafe { _mm512_loadu_si512(word.as_ptr().cast()) });
    for at in (0..size).step_by(BLOCK) {
        let mut w = avx512_words(data, at);
        rounds!(
            state,
            w,
            _mm512_set1_epi32,
            _mm512_add_epi32,
            _mm512_xor_si512,
            rol512,
            ch512,
            parity512,
            maj512
        );
    }
    for (words, state) in words.iter_mut().zip(state) {
        // SAFETY: the array is as large as a register.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), state) };
    }
    turn_back(&words, states);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rol512<const N: i32, const REST: u32>(x: __m512i) -> __m512i {
    _mm512_rol_epi32::<N>(x)
}

// The functions of section 4.1.1, as truth tables.

#[target_feature(enable = "avx512f")]
#[inline]
fn ch512(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn parity512(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn maj512(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

/// The sixteen words of the block at `at`, each of all lanes.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn avx512_words(data: &[&[u8]; 16], at: usize) -> [__m512i; 16] {
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let rows: [__m512i; 16] = std::array::from_fn(|lane| {
        let block: &[u8] = &data[lane][at..at + BLOCK];
        // SAFETY: a block is as large as a register.
        _mm512_shuffle_epi8(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }, swap)
    });
    let mut pairs = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Four lanes of one word in each quarter.
    let mut fours = pairs;
    for i in (0..16).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    let mut words = fours;
    for i in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(fours[i], fours[4 + i]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(fours[i], fours[4 + i]);
        let late_even = _mm512_shuffle_i32x4::<0x88>(fours[8 + i], fours[12 + i]);
        let late_odd = _mm512_shuffle_i32x4::<0xdd>(fours[8 + i], fours[12 + i]);
        words[i] = _mm512_shuffle_i32x4::<0x88>(even, late_even);
        words[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd, late_odd);
        words[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even, late_even);
        words[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd, late_odd);
    }
    words
}

#[target_feature(enable = "avx2")]
fn avx2_blocks(states: &mut [State; LANES], data: &[&[u8]; 8], size: usize) {
    let mut words = [[0_u32; 8]; 5];
    turn(states, &mut words);
    // SAFETY: each array is as large as a register.
    let mut state = words.map(|word| unsafe { _mm256_loadu_si256(word.as_ptr().cast()) });
    for at in (0..size).step_by(BLOCK) {
        let (first, second) = (avx2_words(data, at), avx2_words(data, at + BLOCK / 2));
        let mut w: [__m256i; 16] =
            std::array::from_fn(|i| if i < 8 { first[i] } else { second[i - 8] });
        rounds!(
            state,
            w,
            _mm256_set1_epi32,
            _mm256_add_epi32,
            _mm256_xor_si256,
            rol256,
            ch256,
            parity256,
            maj256
        );
    }
    for (words, state) in words.iter_mut().zip(state) {
        // SAFETY: the array is as large as a register.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), state) };
    }
    turn_back(&words, states);
}

#[target_feature(enable = "avx2")]
#[inline]
fn rol256<const N: i32, const REST: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<N>(x), _mm256_srli_epi32::<REST>(x))
}

#[target_feature(enable = "avx2")]
#[inline]
fn ch256(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn parity256(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(x, _mm256_xor_si256(y, z))
}

#[target_feature(enable = "avx2")]
#[inline]
fn maj256(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
}

/// Eight words of the block that begins at `at` or half a block before, each of all lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn avx2_words(data: &[&[u8]; 8], at: usize) -> [__m256i; 8] {
    let swap = _mm256_setr_epi8(
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8,
        15, 14, 13, 12,
    );
    let rows: [__m256i; 8] = std::array::from_fn(|lane| {
        let half: &[u8] = &data[lane][at..at + BLOCK / 2];
        // SAFETY: half a block is as large as a register.
        _mm256_shuffle_epi8(unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }, swap)
    });
    let mut pairs = rows;
    for i in (0..8).step_by(2) {
        pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Four lanes of one word in each half.
    let mut fours = pairs;
    for i in (0..8).step_by(4) {
        fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    let mut words = fours;
    for i in 0..4 {
        words[i] = _mm256_permute2x128_si256::<0x20>(fours[i], fours[4 + i]);
        words[4 + i] = _mm256_permute2x128_si256::<0x31>(fours[i], fours[4 + i]);
    }
    words
}

/// States by lane → words of all lanes.
fn turn<const N: usize>(states: &[State; LANES], words: &mut [[u32; N]; 5]) {
    for (number, word) in words.iter_mut().enumerate() {
        for (lane, state) in word.iter_mut().zip(states) {
            *lane = state[number];
        }
    }
}

/// The inverse of [`turn`].
fn turn_back<const N: usize>(words: &[[u32; N]; 5], states: &mut [State; LANES]) {
    for (number, word) in words.iter().enumerate() {
        for (lane, state) in word.iter().zip(&mut *states) {
            state[number] = *lane;
        }
    }
}
