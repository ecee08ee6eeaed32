#!/usr/bin/env python3
"""Records the same Linux run with dejavm and with QEMU, by turns, and compares the time.

    tests/bench/boot.py [--rounds N] [--kernel cloud|generic] [--smp N] [--mode workload|poweroff]

Needs `cargo build --release`, the guests (guests/debian/build) and qemu-system-x86_64. QEMU runs
with -accel tcg -icount shift=1,sleep=off,rr=record. Run it on an idle machine; what counts is the
ratio of the medians. QEMU records only guests with one processor; with --smp above 1 it runs
without icount and without recording, which is less work than dejavm does.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernel", choices=("cloud", "generic"), default="cloud")
    parser.add_argument("--smp", type=int, default=1)
    parser.add_argument("--mode", choices=("workload", "poweroff"), default="workload")
    return parser.parse_args()


def commands(args, folder):
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    program = os.environ.get("DEJAVM", os.path.join(target, "release", "dejavm"))
    guests = os.environ.get("DEJAVM_GUESTS", os.path.join(ROOT, "target", "guests"))
    qemu = shutil.which("qemu-system-x86_64")
    kernel = os.path.join(guests, "vmlinuz-" + args.kernel)
    initrd = os.path.join(guests, "initrd.gz")
    advice = {program: "cargo build --release", kernel: "guests/debian/build", initrd: "guests/debian/build"}
    for path, command in advice.items():
        if not os.path.exists(path):
            sys.exit(f"{path} is missing: `{command}` makes it")
    if not qemu:
        sys.exit("there is no qemu-system-x86_64 here (Debian: apt-get install qemu-system-x86)")
    append = ["-append", f"console=ttyS0 dejavm.mode={args.mode}"]
    guest = ["-m", "256M", "-smp", str(args.smp), "-kernel", kernel, "-initrd", initrd, *append]
    journal, log = os.path.join(folder, "run.dj"), os.path.join(folder, "run.rr")
    # With its HPET, or with the clock of the host, QEMU 10's recorder may spin for ever in the BIOS.
    board = ["-M", "pc,hpet=off", "-rtc", "base=utc,clock=vm", "-nodefaults", "-display", "none"]
    board += ["-accel", "tcg", "-net", "none", "-no-reboot", "-serial", "stdio"]
    if args.smp == 1:
        board += ["-icount", f"shift=1,sleep=off,rr=record,rrfile={log}"]
    return {
        "dejavm": ([program, "record", "--force", "-o", journal, "--idle", "jump", "-nographic", "-no-reboot", *guest], journal),
        "qemu": ([qemu, *board, *guest], log),
    }


def run(command):
    """The seconds that a run took."""
    start = time.monotonic()
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    seconds = time.monotonic() - start
    if b"reboot: Power down" not in out.stdout:
        sys.exit(f"{command[0]} did not power off:\n{out.stdout[-2000:].decode(errors='replace')}\n"
                 f"{out.stderr[-2000:].decode(errors='replace')}")
    return seconds


def instructions(program, journal):
    out = subprocess.run([program, "info", "--json", journal], check=True, capture_output=True, text=True)
    return int(re.search(r'"length_icount": (\d+)', out.stdout).group(1))


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as folder:
        rivals = commands(args, folder)
        times = {name: [] for name in rivals}
        for n in range(args.rounds):
            for name, (command, _) in rivals.items():
                times[name].append(run(command))
                print(f"round {n + 1} {name:7} {times[name][-1]:8.2f} s", flush=True)
        medians = {name: statistics.median(t) for name, t in times.items()}
        command, journal = rivals["dejavm"]
        count = instructions(command[0], journal)
        print(f"\ndejavm  median {medians['dejavm']:8.2f} s, {count} instructions, "
              f"{count / medians['dejavm'] / 1e6:.1f} MIPS, journal {os.path.getsize(journal)} bytes")
        log = rivals["qemu"][1]
        size = f", log {os.path.getsize(log)} bytes" if os.path.exists(log) else ""
        print(f"qemu    median {medians['qemu']:8.2f} s{size}")
        print(f"dejavm runs at {medians['qemu'] / medians['dejavm']:.3f} of QEMU's speed")


if __name__ == "__main__":
    main()
