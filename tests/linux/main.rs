//! What dejavm tells of a Linux guest, against what the guest says of itself on its console (and its
//! kernel's own walk of a stack), what its kernel's file says, and what strace shows on the host.
//!
//! One recording serves all: a Debian kernel, with KASLR, a shell, and a program whose stack is known.

mod damaged;
mod guest;
mod oracles;
mod program;
mod tables;

use guest::Guest;

#[test]
fn a_linux_guest_is_understood() {
    let guest = Guest::record();
    oracles::symbols_are_those_of_the_kernel(&guest);
    oracles::processes_are_those_that_ps_shows(&guest);
    oracles::modules_are_those_of_proc_modules(&guest);
    oracles::stacks_are_those_that_the_kernel_and_the_program_have(&guest);
    oracles::system_calls_are_those_that_strace_shows(&guest);
    oracles::calls_of_32_bit_programs_are_decoded(&guest);
    oracles::calls_are_chosen(&guest);
    oracles::before_there_is_a_kernel_that_is_said(&guest);
    tables::tables_hold_the_calls_and_who_made_them(&guest);
    tables::the_cookbook_is_right(&guest);
    damaged::memory_of_any_kind_is_survived(&guest);
}
