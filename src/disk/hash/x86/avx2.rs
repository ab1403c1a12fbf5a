//! SHA-1 of eight messages, one in each lane of a register of 256 bits.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32 as add, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32 as set, _mm256_setr_epi8, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256 as xor,
};
use std::convert::identity as here;

use super::{BLOCK, K, LANES, State, rounds, transpose, transpose_back};

#[target_feature(enable = "avx2")]
pub(super) fn blocks(states: &mut [State; LANES], data: &[&[u8]; 8], size: usize) {
    let mut words = [[0_u32; 8]; 5];
    transpose(states, &mut words);
    // SAFETY: each array is as large as a register.
    let mut state = words.map(|word| unsafe { _mm256_loadu_si256(word.as_ptr().cast()) });
    for at in (0..size).step_by(BLOCK) {
        let (first, second) = (words_at(data, at), words_at(data, at + BLOCK / 2));
        let mut w: [__m256i; 16] =
            std::array::from_fn(|i| if i < 8 { first[i] } else { second[i - 8] });
        rounds!(state, w, |_| {});
    }
    for (words, state) in words.iter_mut().zip(state) {
        // SAFETY: the array is as large as a register.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), state) };
    }
    transpose_back(&words, states);
}

#[target_feature(enable = "avx2")]
#[inline]
fn rol<const N: i32, const REST: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<N>(x), _mm256_srli_epi32::<REST>(x))
}

#[target_feature(enable = "avx2")]
#[inline]
fn ch(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    xor(z, _mm256_and_si256(x, xor(y, z)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn parity(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    xor(x, xor(y, z))
}

#[target_feature(enable = "avx2")]
#[inline]
fn maj(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
}

/// Eight words of the block that begins at `at` or half a block before, each of all lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn words_at(data: &[&[u8]; 8], at: usize) -> [__m256i; 8] {
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
