#!/usr/bin/env python3
"""Runs programs of many kinds in a Linux guest, under dejavm and under QEMU and on the host, by turns.

    tests/bench/workloads.py [--rounds N] [--only NAME,NAME...] [--rivals NAME,NAME...] [--markdown]
                             [--clock wall|cpu] [--program NAME=PATH...]

Rivals: record (dejavm record), live (dejavm run), replay (dejavm replay of the journal recorded
last), interp and jit (dejavm record --accel ...), qemu-rr (QEMU recording: -icount shift=1,sleep=off,
rr=record), qemu (QEMU TCG without icount), native (the same static binary on the host). Default:
record, qemu-rr, native.

Each kernel of guests/bench/kernels.c is timed by the lines that it prints around its work; "boot"
is the time until the first. The table gives medians, and each rival's time over that of the first.
Checksums are compared between all of them: a wrong result is an error. Needs
`cargo build --release`, guests/bench/build, and qemu-system-x86_64 for its rivals. Run it on an idle
machine; absolute times drift, the ratios count. On a busy one `--clock cpu` takes the processor time
of the process, all its threads, instead of the time on the clock. `--program old=PATH` adds a rival:
another build of dejavm, as jit.
"""

import argparse
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PROGRAM = os.environ.get("DEJAVM", os.path.join(TARGET, "release", "dejavm"))
GUESTS = os.environ.get("DEJAVM_GUESTS", os.path.join(ROOT, "target", "guests"))
LINE = re.compile(rb"bench: (\S+) (begin|end)\s*([0-9a-f]*)")
TIMEOUT_S = 900

# What the virtual CPU lacks, so that the C library chooses the same code on the host.
SAME_LIBRARY = "glibc.cpu.hwcaps=" + ",".join(
    "-" + name for name in ("AVX", "AVX2", "AVX512F", "AVX512VL", "AVX512BW", "BMI1", "BMI2", "ERMS", "FMA", "FSRM"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="kernels to run, with commas between them")
    parser.add_argument("--rivals", default="record,qemu-rr,native")
    parser.add_argument("--kernel", choices=("cloud", "generic"), default="cloud")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    return parser.parse_args()


def commands(args, folder):
    mode = "dejavm.mode=kernels" + (f" dejavm.kernels={args.only}" if args.only else "")
    guest = ["-m", "256M", "-kernel", os.path.join(GUESTS, "vmlinuz-" + args.kernel),
             "-initrd", os.path.join(GUESTS, "initrd-bench.gz"), "-append", f"console=ttyS0 {mode}"]
    journal, log = os.path.join(folder, "run.dj"), os.path.join(folder, "run.rr")
    ours = ["--idle", "jump", "-nographic", "-no-reboot", *guest]
    record = [PROGRAM, "record", "--force", "-o", journal]
    # With its HPET, or with the clock of the host, QEMU 10's recorder may spin for ever in the BIOS.
    qemu = [shutil.which("qemu-system-x86_64") or "qemu-system-x86_64", "-M", "pc,hpet=off",
            "-rtc", "base=utc,clock=vm", "-nodefaults", "-display", "none", "-accel", "tcg",
            "-net", "none", "-no-reboot", "-serial", "stdio", *guest]
    others = dict(pair.split("=", 1) for pair in args.program)
    return {
        "record": [*record, *ours],
        **{name: [path, *record[1:-1], f"{journal}.{name}", "--accel", "jit", *ours] for name, path in others.items()},
        **{accel: [PROGRAM, "record", "--force", "-o", f"{journal}.{accel}", "--accel", accel, *ours]
           for accel in ("interp", "jit")},
        "live": [PROGRAM, "run", *ours],
        "replay": [PROGRAM, "replay", journal],
        "qemu-rr": [*qemu, "-icount", f"shift=1,sleep=off,rr=record,rrfile={log}"],
        "qemu": qemu,
        "native": [os.path.join(GUESTS, "kernels"), *filter(None, args.only.split(","))],
    }


def check(rivals):
    made_by = {PROGRAM: "cargo build --release", **{
        os.path.join(GUESTS, name): "guests/bench/build" for name in ("initrd-bench.gz", "kernels")}}
    for path, command in made_by.items():
        if not os.path.exists(path):
            sys.exit(f"{path} is missing: `{command}` makes it")
    if any(name.startswith("qemu") for name in rivals) and not shutil.which("qemu-system-x86_64"):
        sys.exit("there is no qemu-system-x86_64 here (Debian: apt-get install qemu-system-x86)")
    if "replay" in rivals and "record" not in rivals[:rivals.index("replay")]:
        sys.exit("replay needs the journal of record: put record before it")


def processor_seconds(process):
    """What all threads of a process have used."""
    tasks = f"/proc/{process.pid}/task"
    total = 0
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1e9


def run(name, command, clock):
    """Seconds by kernel, and checksums by kernel."""
    environment = dict(os.environ, GLIBC_TUNABLES=SAME_LIBRARY) if name == "native" else None
    limit = time.monotonic() + TIMEOUT_S
    times, sums, tail = {}, {}, []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=environment) as process:
        read_clock = time.monotonic if clock == "wall" else lambda: processor_seconds(process)
        started = begun = read_clock()
        try:
            for line in process.stdout:
                now = read_clock()
                tail = [*tail[-20:], line]
                if time.monotonic() > limit:
                    sys.exit(f"{name}: not done after {TIMEOUT_S} s")
                if not (found := LINE.search(line)):
                    continue
                if found[2] == b"begin":
                    times.setdefault("boot", now - started)
                    begun = now
                else:
                    times[found[1].decode()] = now - begun
                    sums[found[1].decode()] = found[3].decode()
        finally:
            process.kill()
    if name == "native":
        times.pop("boot", None)
    if not sums:
        sys.exit(f"{name} ran no kernel:\n" + b"".join(tail).decode(errors="replace"))
    return times, sums


def compare(sums, seen, name):
    for kernel, value in sums.items():
        known, by = seen.setdefault(kernel, (value, name))
        if known != value:
            sys.exit(f"{kernel}: {name} computes {value}, {by} computed {known}")


def table(rivals, results, markdown):
    first = rivals[0]
    kernels = list(results[first][0])
    medians = {name: {k: statistics.median(r[k] for r in results[name]) for k in kernels if k in results[name][0]}
               for name in rivals}
    rows = [["", f"{first} (s)", *(f"{name}/{first}" for name in rivals[1:])]]
    for kernel in kernels:
        base = medians[first][kernel]
        ratios = [f"{medians[n][kernel] / base:.2f}" if kernel in medians[n] else "" for n in rivals[1:]]
        rows.append([kernel, f"{base:.3f}", *ratios])
    means = []
    for name in rivals[1:]:
        common = [k for k in kernels if k in medians[name]]
        means.append(f"{math.exp(statistics.mean(math.log(medians[name][k] / medians[first][k]) for k in common)):.2f}")
    rows.append(["geometric mean", "", *means])
    if markdown:
        rows.insert(1, ["---"] + ["---:"] * len(rivals))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if c == 0 else cell.rjust(w)
                               for c, (cell, w) in enumerate(zip(row, widths))) for row in rows)


def main():
    args = arguments()
    rivals = args.rivals.split(",")
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as folder:
        known = commands(args, folder)
        if unknown := [name for name in rivals if name not in known]:
            sys.exit(f"no rival {', '.join(unknown)}; there are: {', '.join(known)}")
        check(rivals)
        results, seen = {name: [] for name in rivals}, {}
        for n in range(args.rounds):
            for name in rivals:
                times, sums = run(name, known[name], args.clock)
                compare(sums, seen, name)
                results[name].append(times)
                print(f"round {n + 1} {name:8} {sum(times.values()):8.2f} s", file=sys.stderr, flush=True)
    print(table(rivals, results, args.markdown))


if __name__ == "__main__":
    main()
