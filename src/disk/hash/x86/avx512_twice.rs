//! SHA-1 of twice sixteen messages. Where an instruction waits two cycles for the one before and four of them could begin
//! in each (Zen 5), two registers that have nothing to do with each other fill what one leaves idle.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
    _mm512_xor_si512,
};

use super::avx512::{self, Transposition};
use super::{BLOCK, K, LANES, State, rounds, transpose, transpose_back};

/// A word of all messages.
type Two = [__m512i; 2];

/// Words on their way between lanes and registers. What is kept of registers in between lies as well as this does.
#[repr(align(64))]
struct Words([[u32; 32]; 5]);

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn blocks(states: &mut [State; LANES], data: &[&[u8]; 32], size: usize) {
    let [low, high] = data.as_chunks().0 else { return };
    let mut words = Words([[0; 32]; 5]);
    transpose(states, &mut words.0);
    let mut state = words.0.map(|word| load(&word));
    for at in (0..size).step_by(BLOCK) {
        let (low, high) = (Transposition::of(low, at), Transposition::of(high, at));
        let mut w = [[low[0]; 2]; 16];
        for (w, halves) in w.iter_mut().zip(low.into_iter().zip(high)) {
            *w = halves.into();
        }
        rounds!(state, w, |_| {});
    }
    for (word, state) in words.0.iter_mut().zip(state) {
        store(word, state);
    }
    transpose_back(&words.0, states);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(word: &[u32; 32]) -> Two {
    let [low, high] = [&word[..16], &word[16..]];
    // SAFETY: each half is as large as a register.
    unsafe { [_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast())] }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(word: &mut [u32; 32], [low, high]: Two) {
    let (first, second) = word.split_at_mut(16);
    // SAFETY: each half is as large as a register.
    unsafe {
        _mm512_storeu_si512(first.as_mut_ptr().cast(), low);
        _mm512_storeu_si512(second.as_mut_ptr().cast(), high);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(x: Two, y: Two) -> Two {
    [_mm512_add_epi32(x[0], y[0]), _mm512_add_epi32(x[1], y[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(x: Two, y: Two) -> Two {
    [_mm512_xor_si512(x[0], y[0]), _mm512_xor_si512(x[1], y[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn set(x: i32) -> Two {
    [_mm512_set1_epi32(x); 2]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rol<const N: i32, const REST: u32>(x: Two) -> Two {
    [avx512::rol::<N, REST>(x[0]), avx512::rol::<N, REST>(x[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn ch(x: Two, y: Two, z: Two) -> Two {
    [avx512::ch(x[0], y[0], z[0]), avx512::ch(x[1], y[1], z[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn parity(x: Two, y: Two, z: Two) -> Two {
    [avx512::parity(x[0], y[0], z[0]), avx512::parity(x[1], y[1], z[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn maj(x: Two, y: Two, z: Two) -> Two {
    [avx512::maj(x[0], y[0], z[0]), avx512::maj(x[1], y[1], z[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn here(x: Two) -> Two {
    [avx512::here(x[0]), avx512::here(x[1])]
}
