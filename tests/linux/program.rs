//! A program without a library whose stack is known: `_start` calls `outer`, `outer` calls `middle`,
//! `middle` calls `inner`, which makes a system call of 32-bit programs, and then waits for ever.

use dejavm_tests::cli::Scratch;
use std::process::Command;

const SOURCE: &str = r#"
__asm__(".globl _start\n_start: xorl %ebp, %ebp\n call outer\n hlt\n");
#define APART __attribute__((noinline, noclone))
APART long inner(long n) {
    long result, path = (long)"/";
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
    long time[2] = {100000, 0};
    for (;;)
        __asm__ volatile("syscall" : "=a"(result) : "a"(35L), "D"(time), "S"(0L) : "rcx", "r11", "memory");
    return result + path + n;
}
APART long middle(long n) { return inner(n + 1) + 1; }
APART long outer(long n) { return middle(n + 2) + 1; }
"#;

/// Its file, also at `deep` in the folder.
pub fn build(scratch: &Scratch) -> Vec<u8> {
    let (source, program) = (scratch.file("deep.c"), scratch.file("deep"));
    std::fs::write(&source, SOURCE).expect("a source file");
    let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    command.args(["-O1", "-static", "-nostdlib", "-no-pie", "-ffreestanding", "-fno-stack-protector"]);
    command.args([
        "-fno-omit-frame-pointer",
        "-fno-optimize-sibling-calls",
        "-fcf-protection=none",
        "-w",
        "-o",
    ]);
    let output = command.arg(&program).arg(&source).output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&program).expect("the program")
}
