//! Walks of the stack in user space by frame pointers (System V ABI for x86-64, 3.2.2). Programs
//! that are compiled without them leave no chain: then what looks like a return address is taken
//! from the stack, and marked as a guess.

use super::super::space::Space;
use super::{Backtrace, Frame, How, KERNEL_HALF, MOST_FRAMES, Registers};

/// So much of a stack is searched for return addresses.
const SEARCHED_BYTES: u64 = 16 << 10;
/// So many guesses are enough.
const MOST_GUESSES: usize = 32;

/// Walks on from where `trace` ends.
pub fn walk(space: &Space<'_>, trace: &mut Backtrace, from: Registers) -> Result<(), &'static str> {
    let Registers { mut sp, mut bp, .. } = from;
    let mut found = false;
    while trace.frames.len() < MOST_FRAMES {
        if bp == 0 && found {
            return Ok(());
        }
        let Some((next, ip)) = link(space, sp, bp) else {
            return guess(space, trace, sp, found);
        };
        sp = bp + 16;
        trace.frames.push(Frame { ip, sp, returns: true, how: How::FramePointer, entry: None });
        (bp, found) = (next, true);
    }
    Err("there are more frames than are shown")
}

/// The caller's frame pointer and the return address of a frame, if the frame pointer is one.
fn link(space: &Space<'_>, sp: u64, bp: u64) -> Option<(u64, u64)> {
    if bp < sp || bp % 8 != 0 || bp >= KERNEL_HALF {
        return None;
    }
    let (next, ip) = space.u64(bp).zip(space.u64(bp + 8))?;
    ((next == 0 || next > bp) && is_return_address(space, ip)).then_some((next, ip))
}

/// Takes return addresses from the stack.
fn guess(space: &Space<'_>, trace: &mut Backtrace, sp: u64, found: bool) -> Result<(), &'static str> {
    let first = sp.next_multiple_of(8);
    let mut guesses = 0;
    for at in (first..first.saturating_add(SEARCHED_BYTES)).step_by(8) {
        let Some(ip) = space.u64(at) else { break };
        if guesses == MOST_GUESSES || trace.frames.len() >= MOST_FRAMES {
            break;
        }
        if is_return_address(space, ip) {
            trace.frames.push(Frame { ip, sp: at + 8, returns: true, how: How::Guess, entry: None });
            guesses += 1;
        }
    }
    Err(match found {
        true => "the chain of frame pointers ends here; what follows was found on the stack",
        false => "there are no frame pointers; return addresses were taken from the stack",
    })
}

/// Whether an address lies behind a call: E8 with 4 bytes, or FF /2 with its operand.
fn is_return_address(space: &Space<'_>, ip: u64) -> bool {
    if !(0x1000..KERNEL_HALF).contains(&ip) {
        return false;
    }
    let mut before = [0; 7];
    // The call may begin on a page that is not there, and be shorter.
    let read = (2..=7).rev().find(|n| space.read(ip - n, &mut before[7 - *n as usize..]));
    let Some(read) = read else { return false };
    let byte = |back: usize| if back as u64 <= read { before[7 - back] } else { 0 };
    let indirect = |length: usize| {
        let (mode, register, rm) = (byte(length - 1) >> 6, byte(length - 1) >> 3 & 7, byte(length - 1) & 7);
        let scaled = usize::from(mode != 3 && rm == 4);
        let displacement = match mode {
            0 if rm == 5 => 4,
            1 => 1,
            2 => 4,
            _ => 0,
        };
        byte(length) == 0xFF && register == 2 && length == 2 + scaled + displacement
    };
    byte(5) == 0xE8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}
