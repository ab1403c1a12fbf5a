//! SHA-1 of sixteen messages, one in each lane of a register of 512 bits.

use std::arch::asm;
use std::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_add_epi32 as add, _mm512_loadu_si512,
    _mm512_rol_epi32, _mm512_set1_epi32 as set, _mm512_set4_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512 as xor,
};

use super::{BLOCK, K, LANES, State, rounds, transpose, transpose_back};

/// How far ahead of what is computed the processor is to bring bytes near. Behind the end of what is there lies what comes
/// next, if it was lent.
const AHEAD: usize = 2 << 10;

/// Fives of rounds before the next block is begun: by then each word of this one was needed once.
const FIRST_STEP: usize = 4;

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn blocks(states: &mut [State; LANES], data: &[&[u8]; 16], size: usize) {
    let Some(last) = size.checked_sub(BLOCK) else { return };
    let mut words = [[0_u32; 16]; 5];
    transpose(states, &mut words);
    // SAFETY: each array is as large as a register.
    let mut state = words.map(|word| unsafe { _mm512_loadu_si512(word.as_ptr().cast()) });
    let mut next = Transposition::new();
    (0..Transposition::STEPS).for_each(|step| next.step(step, data, 0));
    for at in (0..size).step_by(BLOCK) {
        let mut w = next.words;
        // Only one of the units that compute can move words between lanes. It does so for the next block beside the
        // rounds of this one, which keep the others busy; at the end, for the last block once more and for nothing.
        let coming = (at + BLOCK).min(last);
        let mut meanwhile = |rounds: usize| {
            // Sixteen times in a block: once for each lane.
            fetch(data[rounds / 5 - 1].as_ptr().wrapping_add(at + AHEAD));
            if let Some(step) = (rounds / 5).checked_sub(FIRST_STEP) {
                next.step(step, data, coming);
            }
        };
        rounds!(state, w, meanwhile);
    }
    for (words, state) in words.iter_mut().zip(state) {
        // SAFETY: the array is as large as a register.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), state) };
    }
    transpose_back(&words, states);
}

/// Has the processor bring a line of memory near, into the second of its caches.
#[inline]
fn fetch(line: *const u8) {
    // SAFETY: it reads nothing; where there is no memory, or none of ours, nothing happens.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
}

/// The sixteen words of a block, each of all lanes, made in a few steps.
pub(super) struct Transposition {
    /// Four lanes of one word in each quarter.
    fours: [__m512i; 16],
    words: [__m512i; 16],
}

impl Transposition {
    const STEPS: usize = 8;

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn new() -> Self {
        Self { fours: [_mm512_setzero_si512(); 16], words: [_mm512_setzero_si512(); 16] }
    }

    /// The words of the block at `at`, in all steps at once.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    pub fn of(data: &[&[u8]; 16], at: usize) -> [__m512i; 16] {
        let mut block = Self::new();
        for quarter in 0..4 {
            block.read(quarter * 4, data, at);
        }
        for i in 0..4 {
            block.mix(i);
        }
        block.words
    }

    /// The steps of the block at `at`, one after the other; there is nothing to do in those that follow.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn step(&mut self, step: usize, data: &[&[u8]; 16], at: usize) {
        match step {
            0..4 => self.read(step * 4, data, at),
            4..8 => self.mix(step - 4),
            _ => {}
        }
    }

    /// Four lanes of the block, from `lane` on.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn read(&mut self, lane: usize, data: &[&[u8]; 16], at: usize) {
        let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
        let row = |lane: usize| {
            let block: &[u8] = &data[lane][at..at + BLOCK];
            // SAFETY: a block is as large as a register.
            _mm512_shuffle_epi8(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }, swap)
        };
        let rows = [row(lane), row(lane + 1), row(lane + 2), row(lane + 3)];
        let low = _mm512_unpacklo_epi32(rows[0], rows[1]);
        let high = _mm512_unpackhi_epi32(rows[0], rows[1]);
        let late_low = _mm512_unpacklo_epi32(rows[2], rows[3]);
        let late_high = _mm512_unpackhi_epi32(rows[2], rows[3]);
        self.fours[lane] = _mm512_unpacklo_epi64(low, late_low);
        self.fours[lane + 1] = _mm512_unpackhi_epi64(low, late_low);
        self.fours[lane + 2] = _mm512_unpacklo_epi64(high, late_high);
        self.fours[lane + 3] = _mm512_unpackhi_epi64(high, late_high);
    }

    /// Every fourth word, from `i` on, out of those that were read.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn mix(&mut self, i: usize) {
        let Self { fours, words } = self;
        let even = _mm512_shuffle_i32x4::<0x88>(fours[i], fours[4 + i]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(fours[i], fours[4 + i]);
        let late_even = _mm512_shuffle_i32x4::<0x88>(fours[8 + i], fours[12 + i]);
        let late_odd = _mm512_shuffle_i32x4::<0xdd>(fours[8 + i], fours[12 + i]);
        words[i] = _mm512_shuffle_i32x4::<0x88>(even, late_even);
        words[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd, late_odd);
        words[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even, late_even);
        words[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd, late_odd);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn rol<const N: i32, const REST: u32>(x: __m512i) -> __m512i {
    _mm512_rol_epi32::<N>(x)
}

// The functions of section 4.1.1, as truth tables.

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn ch(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn parity(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn maj(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

/// Has a value computed where it stands. The compiler would compute all schedules of a block first, which is as much
/// work, but keeps one unit busy and the other not, and needs more registers than there are.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn here(mut x: __m512i) -> __m512i {
    // SAFETY: there is no instruction in it.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}
