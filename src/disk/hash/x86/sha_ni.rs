//! SHA-1 in the processor's own steps, of several messages at once.
//!
//! A step does four rounds of FIPS 180-4, section 6.1.2, and has to wait for the one before it. Those of other
//! messages fill the wait, and the message schedule of the blocks that come next fills what is left. What each
//! instruction does: the
//! [Intel SHA extensions](https://www.intel.com/content/www/us/en/developer/articles/technical/intel-sha-extensions.html).
//!
//! A Zen 3 seems to choose the unit of an instruction by where it stands among its neighbours, and a step keeps its unit
//! for four cycles. So the order is written down, with one instruction that does nothing to make their number even:
//! *measured* there, a block takes 47 cycles, 50 without that one, and 52 when a compiler chose the order; the steps
//! alone take 40.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_setr_epi8,
    _mm_setzero_si128, _mm_sha1nexte_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
};
use std::array::from_fn;
use std::mem::swap;

use super::super::{BLOCK, LANES, State};

/// Messages at once: as many as there are times twenty rounds in a block. In each twenty the schedule that one of them
/// needs next is made.
pub(super) const STREAMS: usize = 4;

/// Steps of a block.
const STEPS: usize = 20;
/// Bytes of a register.
const REGISTER: usize = 16;
/// Reverses the order of four words, which is how these instructions want the state.
const BACKWARDS: i32 = 0x1b;

/// One register of each message.
type Each = [__m128i; STREAMS];

#[derive(Clone, Copy)]
struct States {
    abcd: Each,
    /// After a step: what `a` was before it, still to be rotated.
    e: Each,
}

/// The message schedule of one block of each message, a register for each step.
type Schedule = [[__m128i; STEPS]; STREAMS];

#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn blocks(states: &mut [State; LANES], data: &[&[u8]; STREAMS], size: usize) {
    let blocks: [&[[u8; BLOCK]]; STREAMS] = data.map(|data| data[..size].as_chunks().0);
    let Some(last) = blocks[0].len().checked_sub(1) else { return };
    let mut state = load(states);
    let mut schedules = [[[_mm_setzero_si128(); STEPS]; STREAMS]; 2];
    let [now, next] = &mut schedules;
    let (mut now, mut next) = (now, next);
    // Once more than there are blocks: the first time only a schedule is made, and the last time only one used.
    for nth in 0..=last + 1 {
        let coming = blocks.map(|blocks| &blocks[nth.min(last)]);
        let after = rounds(state, now, next, coming);
        if nth > 0 {
            state = sum(state, after);
        }
        swap(&mut now, &mut next);
    }
    store(state, states);
}

/// All rounds of the blocks whose schedule is `now`; `next` becomes that of the `coming` ones.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn rounds(
    mut state: States,
    now: &Schedule,
    next: &mut Schedule,
    coming: [&[u8; BLOCK]; STREAMS],
) -> States {
    macro_rules! twenty_rounds {
        ($function:literal) => {
            let mut w = words(coming[$function]);
            twenty_rounds!($function, w, 0 1 2 3 4);
        };
        ($function:literal, $w:ident, $($group:literal)*) => {$(
            step::<{ $function * 5 + $group }, 0>(&mut state, now);
            look_ahead::<$function, { $group * 4 }>(&mut $w, next);
            step::<{ $function * 5 + $group }, 1>(&mut state, now);
            look_ahead::<$function, { $group * 4 + 1 }>(&mut $w, next);
            step::<{ $function * 5 + $group }, 2>(&mut state, now);
            look_ahead::<$function, { $group * 4 + 2 }>(&mut $w, next);
            step::<{ $function * 5 + $group }, 3>(&mut state, now);
            look_ahead::<$function, { $group * 4 + 3 }>(&mut $w, next);
        )*};
    }
    twenty_rounds!(0);
    twenty_rounds!(1);
    twenty_rounds!(2);
    twenty_rounds!(3);
    state
}

/// Four rounds of one message.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn step<const STEP: usize, const MESSAGE: usize>(state: &mut States, schedule: &Schedule) {
    macro_rules! step {
        ($add:literal) => {
            // SAFETY: it reads one register of the schedule.
            unsafe {
                asm!(
                    concat!($add, " {e}, [{schedule} + {at}]"),
                    "movdqa {next_e}, {abcd}",
                    "sha1rnds4 {abcd}, {e}, {function}",
                    e = inout(xmm_reg) state.e[MESSAGE] => _,
                    next_e = out(xmm_reg) state.e[MESSAGE],
                    abcd = inout(xmm_reg) state.abcd[MESSAGE],
                    schedule = in(reg) schedule,
                    at = const (MESSAGE * STEPS + STEP) * REGISTER,
                    function = const STEP / 5,
                    options(nostack, readonly, preserves_flags),
                );
            }
        };
    }
    // `e` has been rotated only before the first one.
    if STEP == 0 { step!("paddd") } else { step!("sha1nexte") }
}

/// The words of one message for one step, made of those for the four steps before.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn look_ahead<const MESSAGE: usize, const STEP: usize>(
    w: &mut [__m128i; 4],
    schedule: &mut Schedule,
) {
    if STEP >= 4 {
        // SAFETY: it touches nothing but registers.
        unsafe {
            asm!(
                "sha1msg1 {first}, {second}",
                "pxor {first}, {third}",
                "sha1msg2 {first}, {fourth}",
                "nop",
                first = inout(xmm_reg) w[STEP % 4],
                second = in(xmm_reg) w[(STEP + 1) % 4],
                third = in(xmm_reg) w[(STEP + 2) % 4],
                fourth = in(xmm_reg) w[(STEP + 3) % 4],
                // Nothing is said of memory, or what is around it would be moved.
                options(nostack, preserves_flags),
            );
        }
    }
    schedule[MESSAGE][STEP] = w[STEP % 4];
}

/// The words of a block.
#[target_feature(enable = "sse4.1,ssse3")]
#[inline]
fn words(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let backwards = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    from_fn(|quarter| {
        let bytes: &[u8] = &block[quarter * REGISTER..][..REGISTER];
        // SAFETY: so many bytes are as large as a register.
        _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, backwards)
    })
}

#[target_feature(enable = "sha,sse4.1")]
#[inline]
fn sum(before: States, after: States) -> States {
    States {
        abcd: from_fn(|nth| _mm_add_epi32(before.abcd[nth], after.abcd[nth])),
        e: from_fn(|nth| _mm_sha1nexte_epu32(after.e[nth], before.e[nth])),
    }
}

#[target_feature(enable = "sse4.1")]
fn load(states: &[State; LANES]) -> States {
    let word = |nth: usize, word: usize| states[nth][word].cast_signed();
    States {
        abcd: from_fn(|n| _mm_set_epi32(word(n, 0), word(n, 1), word(n, 2), word(n, 3))),
        e: from_fn(|n| _mm_set_epi32(word(n, 4), 0, 0, 0)),
    }
}

#[target_feature(enable = "sse4.1")]
fn store(from: States, states: &mut [State; LANES]) {
    for (nth, state) in states.iter_mut().take(STREAMS).enumerate() {
        let abcd = _mm_shuffle_epi32::<BACKWARDS>(from.abcd[nth]);
        // SAFETY: the state is larger than a register.
        unsafe { _mm_storeu_si128(state.as_mut_ptr().cast(), abcd) };
        state[4] = _mm_extract_epi32::<3>(from.e[nth]).cast_unsigned();
    }
}
