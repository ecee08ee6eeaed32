#!/usr/bin/env python3
"""Measures how long it takes to go to places of a recording, with dejavm and with QEMU.

    tests/bench/time_travel.py [--icount N] [--seeks N] [--steps N] [--accel interp|jit] [--qemu]

Records a Linux guest with 512 MiB that does the guests' workload over and over until N instructions (10 G if
not given), once with checkpoints and once without; then, in one replay: seeks to random places, steps back
from a random place, and a search backward over all of it for a write that came at its very start, beside one
replay straight through. With --qemu the same guest (as far as two minutes of recording go) is recorded by
QEMU's recorder, with snapshots each 250 M steps as far as it makes them, and gdb steps back.

Needs `cargo build --release`, the guests (guests/debian/build); with --qemu also qemu-system-x86_64,
qemu-img and gdb. Run it on an idle machine.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROMPT = b"(dejavm) "


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--icount", type=int, default=10_000_000_000)
    parser.add_argument("--seeks", type=int, default=100)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--accel", choices=("interp", "jit"), default="interp")
    parser.add_argument("--qemu", action="store_true")
    return parser.parse_args()


def file_of(*parts):
    path = os.path.join(*parts)
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: `cargo build --release` and `guests/debian/build` make what is needed")
    return path


def program():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.environ.get("DEJAVM") or file_of(target, "release", "dejavm")


def guest(ram, append):
    guests = os.environ.get("DEJAVM_GUESTS", os.path.join(ROOT, "target", "guests"))
    kernel, initrd = file_of(guests, "vmlinuz-cloud"), file_of(guests, "initrd.gz")
    return ["-m", ram, "-kernel", kernel, "-initrd", initrd, "-append", append]


# The shell of the guest reads this from its serial port.
WORK = b"while :; do workload; done\n"


def record(args, journal, checkpoints):
    """The seconds that recording takes."""
    command = [program(), "record", "--force", "-o", journal, "--checkpoints", checkpoints, "--accel", args.accel]
    command += ["--idle", "jump", "--until", str(args.icount), "-nographic", "--seed", "1"]
    command += guest("512M", "console=ttyS0 dejavm.mode=shell")
    start = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seen = b""
    while b"# " not in seen:
        seen += os.read(child.stdout.fileno(), 4096) or sys.exit("the guest's shell did not come up")
    child.stdin.write(WORK)
    child.stdin.flush()
    while os.read(child.stdout.fileno(), 1 << 16):
        pass
    child.wait()
    return time.monotonic() - start


class Replay:
    """A replay whose monitor is on a pipe."""

    def __init__(self, args, journal, *options):
        command = [program(), "replay", journal, "--monitor", "stdio", "--serial", "null", "--accel", args.accel, *options]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        text = b""
        while not text.endswith(PROMPT):
            text += os.read(self.child.stdout.fileno(), 1 << 16) or sys.exit(f"the replay ended: {text}")
        return text.decode(errors="replace")

    def timed(self, line):
        """The seconds until the next prompt, and what was printed."""
        start = time.monotonic()
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
        text = self.wait()
        return time.monotonic() - start, text

    def quit(self):
        self.child.stdin.write(b"quit\n")
        self.child.stdin.flush()
        self.child.stdout.read()
        self.child.wait()


def show(name, seconds):
    ms = sorted(1000 * s for s in seconds)
    print(f"{name:42} p50 {statistics.median(ms):8.1f}   p95 {ms[int(0.95 * (len(ms) - 1))]:8.1f}"
          f"   most {ms[-1]:8.1f} ms", flush=True)


def straight(args, journal):
    """The seconds that one replay without hashes beyond the journal's takes."""
    start = time.monotonic()
    subprocess.run([program(), "replay", journal, "--serial", "null", "--checkpoints", "none", "--accel", args.accel,
                    "--until", str(args.icount - 1)],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def travel(args, journal):
    rng = random.Random(1)
    replay = Replay(args, journal)
    last = args.icount - 1
    seeks = [replay.timed(f"replay_seek {rng.randrange(last)}")[0] for _ in range(args.seeks)]
    show("seek to a random place", seeks)
    replay.timed(f"replay_seek {rng.randrange(last // 2, last)}")
    show("reverse_step, again and again", [replay.timed("reverse_step")[0] for _ in range(args.steps)])
    first = []
    for _ in range(max(1, args.steps // 5)):
        replay.timed(f"replay_seek {rng.randrange(last)}")
        first.append(replay.timed("reverse_step")[0])
    show("the first reverse_step at a random place", first)
    replay.timed(f"replay_seek {last}")
    # The kernel's image is unpacked over this address as the run begins, and never written again.
    seconds, text = replay.timed("last_write -p 0x90000")
    print(f"last_write over all of the run: {seconds:.1f} s, at {text.split()[-4:]}")
    kept = replay.timed("info checkpoints")[1]
    print("\n".join(line.strip() for line in kept.splitlines() if "checkpoints," in line or "apart" in line))
    replay.quit()
    return seconds


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as folder:
        journal = os.path.join(folder, "run.dj")
        without = record(args, journal, "none")
        with_them = record(args, journal, "1G")
        print(f"recording {args.icount} instructions: {without:.1f} s without checkpoints, {with_them:.1f} s with"
              f" ({100 * (with_them / without - 1):+.1f} %)")
        side = os.path.getsize(journal + "c")
        print(f"the side file has {side / 2**20:.1f} MiB, the journal {os.path.getsize(journal) / 2**20:.1f} MiB")
        once = straight(args, journal)
        back = travel(args, journal)
        print(f"one replay straight through: {once:.1f} s, {args.icount / once / 1e6:.0f} MIPS; "
              f"the search backward takes {back / once:.2f} of that on {os.cpu_count()} cores")
        if args.qemu:
            qemu(folder)


if __name__ == "__main__":
    main()
