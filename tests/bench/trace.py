#!/usr/bin/env python3
"""Measures how fast traces are extracted from a recording of Linux, and how much room they take.

    tests/bench/trace.py [--rounds N] [--accel interp|jit] [--from ICOUNT] [--to ICOUNT] [--no-qemu]
        [--execlog PLUGIN] [--off ROUNDS] [--history QUESTIONS] [--journal FILE] [--only blocks,memory]

Records a Debian kernel that boots and powers off, then by turns, N times (default 3): replays the stretch
without tracing, and extracts from it all instructions, all blocks, and all loads and stores, with one job and
with two, into dejavm's own format. QEMU boots the same guest with `-d exec,nochain`, which writes a line for
each block that it executes, and, if its plugin is given, with execlog, which writes one for each instruction
with its accesses; for some seconds only, into a pipe where lines and bytes are counted, as they would fill a
disk. What counts are the ratios of the medians.

execlog is contrib/plugins/execlog.c of QEMU's source (`apt-get source qemu`), to be built with its
include/qemu/qemu-plugin.h and GLib's headers (libglib2.0-dev):

    gcc -shared -fPIC -O2 -o libexeclog.so execlog.c -I include/qemu $(pkg-config --cflags --libs glib-2.0)

Needs `cargo build --release`, the guests (guests/debian/build), and qemu-system-x86_64 unless --no-qemu. Run
it on an idle machine.
"""

import argparse
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from setup import guest, program

APPEND = "console=ttyS0 dejavm.mode=poweroff"
TRACES = {
    "instructions": ["-e", "cpu_instruction"],
    "blocks": ["-e", "cpu_block"],
    "memory": ["-e", "memory_*"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accel", choices=("interp", "jit"), default="jit")
    parser.add_argument("--journal", help="a recording that is there, instead of one made now")
    parser.add_argument("--off", type=int, default=0, metavar="ROUNDS",
                        help="so many rounds of whole replays, with an event that never comes and without")
    parser.add_argument("--history", type=int, default=0, metavar="QUESTIONS",
                        help="ask so often who wrote somewhere last, once the index is there")
    parser.add_argument("--only", help="of the traces only these, with commas")
    parser.add_argument("--from", dest="first", type=int, default=None)
    parser.add_argument("--to", dest="last", type=int, default=None)
    parser.add_argument("--no-qemu", action="store_true")
    parser.add_argument("--execlog", metavar="PLUGIN", help="QEMU's plugin execlog, as a shared library")
    parser.add_argument("--qemu-seconds", type=float, default=8, metavar="SECONDS",
                        help="how long QEMU runs with each log (default 8)")
    return parser.parse_args()


def seconds(command, **more):
    """CPU and elapsed seconds of a command."""
    before, start = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=3600, **more)
    elapsed, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, elapsed


def events_in(trace):
    """How many records a trace has: those of its chunks, by their headers (trace/src/binary/FORMAT.md)."""
    count, at = 0, 16
    with open(trace, "rb") as file:
        while True:
            file.seek(at)
            header = file.read(44)
            if len(header) < 44 or header[:3] != b"DJt":
                return count
            if header[3:4] == b"R":
                count += int.from_bytes(header[16:20], "little")
            at += 44 + int.from_bytes(header[4:8], "little")


def dejavm(args, journal, folder):
    """name -> (CPU seconds, elapsed, events, bytes), once."""
    stretch = ["--from", str(args.first), "--to", str(args.last), "--accel", args.accel]
    results = {}
    # An event that a run has at most once costs nothing: this is the replay alone.
    command = [program(), "trace", journal, "-e", "machine_power_off", "-o", os.path.join(folder, "none.djt"), "--force"]
    for jobs in ("1", "2"):
        results["untraced", jobs] = (*seconds(command + stretch + ["-j", jobs]), 0, 0)
        for name in args.only.split(",") if args.only else TRACES:
            events = TRACES[name]
            output = os.path.join(folder, name + ".djt")
            times = seconds([program(), "trace", journal, *events, "-o", output, "--force", "-j", jobs, *stretch])
            results[name, jobs] = (*times, events_in(output), os.path.getsize(output))
    return results


def off(args, journal):
    """What it costs that events could be on: replays with one that never comes, and without, by turns."""
    times = {"without": [], "with": []}
    for _ in range(args.off):
        for name, more in (("without", []), ("with", ["--trace", "debug_exit"])):
            times[name].append(seconds([program(), "replay", journal, "--accel", args.accel, *more])[0])
    medians = {name: statistics.median(list) for name, list in times.items()}
    print(f"a replay with an event on that never comes: {medians['with']:.2f} s CPU, without {medians['without']:.2f} s"
          f" ({100 * (medians['with'] / medians['without'] - 1):+.1f} %), medians of {args.off}")


def history(args, journal):
    """How long `dejavm memhist --before` takes, by virtual and by physical address."""
    events = ["-e", "memory_store,value=1-0xffffffff", "--from", str(args.last - 20000), "--to", str(args.last)]
    text = subprocess.run([program(), "trace", journal, *events], check=True, capture_output=True, text=True).stdout
    stores = [dict(word.split("=") for word in line.split()[4:]) for line in text.splitlines()]
    places = [(store["address"], []) for store in stores] + [(store["physical"], ["--physical"]) for store in stores]
    ask = [program(), "memhist", journal, "--json", "--before", str(args.last)]
    first = seconds(ask + [places[0][0]])[1]
    # An address that nobody wrote to has the whole index made.
    whole = seconds(ask + ["0xfffffffffffff000"])[1]
    chosen = places[:: max(1, len(places) // args.history)][: args.history]
    times = sorted(1000 * seconds(ask + [address, *more])[1] for address, more in chosen)
    print(f"last store before {args.last}: the first question {first:.2f} s, the index of"
          f" all {whole:.2f} s, then p50 {times[len(times) // 2]:.0f} ms, p95 {times[len(times) * 95 // 100]:.0f} ms")


def logged(command, limit):
    """(elapsed, lines, bytes) of what a command writes to the descriptor that stands for LOG, within seconds."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    command = [word.replace("LOG", f"/dev/fd/{writer}") for word in command]
    start, lines, size = time.monotonic(), 0, 0
    process = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    os.close(writer)
    while time.monotonic() - start < limit and (part := os.read(reader, 1 << 20)):
        lines += part.count(b"\n")
        size += len(part)
    elapsed = time.monotonic() - start
    process.kill()
    process.wait()
    os.close(reader)
    return elapsed, lines, size


def qemu(args):
    """The same guest in QEMU: whole, and with logs of its blocks and instructions from the start."""
    board = ["qemu-system-x86_64", "-M", "pc,hpet=off", "-nodefaults", "-display", "none", "-accel", "tcg", "-net", "none",
             "-no-reboot", "-serial", "null", "-icount", "shift=1,sleep=off", *guest("256M", APPEND)]
    results = {"qemu, to power-off": (*seconds(board), 0, 0)}
    logs = {"qemu -d exec,nochain": ["-d", "exec,nochain", "-D", "LOG"]}
    if args.execlog:
        logs["qemu, execlog"] = ["-plugin", args.execlog, "-d", "plugin", "-D", "LOG"]
    for name, options in logs.items():
        elapsed, lines, size = logged(board + options, args.qemu_seconds)
        results[name] = (0, elapsed, lines, size)
    return results


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as folder:
        journal = args.journal or os.path.join(folder, "run.dj")
        if not args.journal:
            subprocess.run([program(), "record", "-o", journal, "--idle", "jump", "-nographic", "-no-reboot", "--seed", "1",
                            *guest("256M", APPEND)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        info = json.loads(subprocess.run([program(), "info", "--json", journal], check=True, capture_output=True).stdout)
        length = info["length_icount"]
        args.first = 0 if args.first is None else args.first
        args.last = length if args.last is None else min(args.last, length)
        instructions = args.last - args.first
        if args.off:
            off(args, journal)
        if args.history:
            history(args, journal)
        rounds = []
        for _ in range(args.rounds):
            one = dejavm(args, journal, folder)
            if not args.no_qemu and shutil.which("qemu-system-x86_64"):
                one |= qemu(args)
            rounds.append(one)
        if not rounds:
            return
        print(f"{instructions} instructions of {length}, --accel {args.accel}, medians of {args.rounds} rounds")
        median = {name: [statistics.median(one[name][k] for one in rounds) for k in range(4)] for name in rounds[0]}
        base = median["untraced", "1"][1]
        for name, (cpu, elapsed, events, size) in median.items():
            label = name if isinstance(name, str) else f"{name[0]}, {name[1]} job{'s' if name[1] == '2' else ''}"
            line = f"{label:24} {elapsed:8.2f} s ({cpu:.2f} CPU)"
            if not isinstance(name, str):
                line += f"  {base / elapsed:5.2f} of untraced speed"
            if not isinstance(name, str) and name[1] == "2":
                line += f"  {median[name[0], '1'][1] / elapsed:5.2f} times as fast as one"
            if events:
                line += f"  {events / elapsed / 1e6:8.2f} M events/s  {size / events:6.3f} bytes/event"
            print(line)


main()
