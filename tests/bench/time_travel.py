#!/usr/bin/env python3
"""Measures how long it takes to go to places of a recording, with dejavm and with QEMU.

    tests/bench/time_travel.py [--icount N] [--seeks N] [--steps N] [--accel interp|jit] [--rounds N] [--qemu]
                               [--folder DIR] [--parts PART,...]

Records a Linux guest with 512 MiB that does the guests' workload over and over until N instructions (10 G if
not given), with checkpoints and without by turns; then, in one replay: seeks to random places, steps back
from random places, and searches backward over all of it for what came at its very start, beside one replay straight
through. With --qemu, QEMU's recorder takes down one workload of the same guest with 256 MiB,
and a snapshot each 250 M steps, and goes to random places of it and one step back.

Each is given on the clock and, in brackets, as processor time of dejavm's process, which is what remains to be
compared on a host that others use. Run it on an idle machine all the same.

The parts are record, seek, search, fill, two and qemu; all but the last two are done if nothing is said. With --folder,
recordings are kept there, and one that is there is used by the other parts: so long ones can be measured piece by
piece, with one engine and the other.

Needs `cargo build --release`, the guests (guests/debian/build); with --qemu also qemu-system-x86_64 and
qemu-img.
"""

import argparse
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from setup import file_of, guest, program

PROMPT = b"(dejavm) "


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--icount", type=int, default=10_000_000_000)
    parser.add_argument("--seeks", type=int, default=100)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--accel", choices=("interp", "jit"), default="interp")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--qemu", action="store_true", help="the same as the part qemu, besides the others")
    parser.add_argument("--folder", help="where recordings are kept and looked for")
    parser.add_argument("--parts", default="record,seek,search,fill")
    args = parser.parse_args()
    args.parts = set(args.parts.split(",")) | ({"qemu"} if args.qemu else set())
    if unknown := args.parts - {"record", "seek", "search", "fill", "two", "qemu"}:
        parser.error(f"there is no part {', '.join(unknown)}")
    return args


# The shell of the guest reads this from its serial port.
WORK = b"while :; do workload; done\n"


def record(args, journal, checkpoints):
    """The seconds that recording takes, on the clock and of processor time, and the most memory in MiB."""
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
    usage = usage_of_ended(child)
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def usage_of_ended(child):
    """What a process used that ends now."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


def processor_time(pid):
    """The processor time of the threads that a process has now."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resource_of(pid):
    """The processor time that a process took so far, threads that ended included; in steps of 10 ms."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(args, journal):
    """A recording without checkpoints: how soon the background has them, and a seek meanwhile."""
    os.remove(journal + "c")
    start = time.monotonic()
    replay = Replay(args, journal)
    while "in the background" in replay.timed("info checkpoints")[1]:
        time.sleep(0.2)
    took = time.monotonic() - start
    kept = replay.timed("info checkpoints")[1].splitlines()[1].strip()
    print(f"filled in the background in {took:.1f} s: {kept}")
    replay.quit()


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
        """The seconds until the next prompt (on the clock, processor time), and what was printed."""
        start, processor = time.monotonic(), processor_time(self.child.pid)
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
        text = self.wait()
        took = time.monotonic() - start
        return (took, max(0.0, processor_time(self.child.pid) - processor)), text

    def quit(self):
        self.child.stdin.write(b"quit\n")
        self.child.stdin.flush()
        self.child.stdout.read()
        self.child.wait()


def show(name, times):
    columns = [sorted(1000 * s for s in column) for column in zip(*times)]

    def at(part):
        clock, *processor = [ms[int(part * (len(ms) - 1))] for ms in columns]
        return f"{clock:8.1f}" + "".join(f" ({ms:.1f})" for ms in processor)

    print(f"{name:42} p50 {at(0.5)}   p95 {at(0.95)}   most {at(1)} ms", flush=True)


def replay_through(args, journal):
    return subprocess.Popen([program(), "replay", journal, "--serial", "null", "--checkpoints", "none",
                             "--accel", args.accel, "--until", str(args.icount - 1)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def straight(args, journal):
    """The seconds that one replay straight through takes, on the clock and of processor time."""
    start = time.monotonic()
    child = replay_through(args, journal)
    usage = usage_of_ended(child)
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


def seek(args, journal):
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
    kept = replay.timed("info checkpoints")[1]
    print("\n".join(line.strip() for line in kept.splitlines() if "checkpoints," in line or "apart" in line))
    replay.quit()


# Searches backward over all of the run.
SEARCHES = (
    # Nothing writes the first page that the kernel is unpacked to once it runs.
    ("a write at the very start", "last_write -p 0x1000000"),
    # What the boot loader's part of the kernel executes here, it never does again.
    ("an instruction that ran at the start", "reverse_continue {at_start}"),
    # No footprint tells of exceptions: all of the run is gone through. In 64-bit mode nothing raises this one.
    ("an exception that never was", "reverse_continue -e 4"),
)


def search(args, journal):
    runs = [straight(args, journal) for _ in range(args.rounds)]
    once = tuple(statistics.median(column) for column in zip(*runs))
    print(f"one replay straight through: {once[0]:.1f} ({once[1]:.1f}) s, {args.icount / once[1] / 1e6:.0f} MIPS; "
          f"each: {', '.join(f'{run[0]:.1f}' for run in runs)}", flush=True)
    replay = Replay(args, journal)
    replay.timed("replay_seek 2000000")
    place = replay.timed("step")[1]
    at_start = re.search(r"\b2000001 (0x[0-9a-f]+)", place).group(1)
    replay.quit()
    for what, command in SEARCHES:
        backs = []
        command = command.format(at_start=at_start)
        replay = Replay(args, journal)
        for _ in range(args.rounds):
            replay.timed(f"replay_seek {args.icount - 1}")
            before = resource_of(replay.child.pid)
            (seconds, _), text = replay.timed(command)
            backs.append((seconds, resource_of(replay.child.pid) - before))
        replay.quit()
        back = tuple(statistics.median(column) for column in zip(*backs))
        print(f"search backward for {what} ({command}): {back[0]:.2f} ({back[1]:.2f}) s, {back[0] / once[0]:.3f} of a "
              f"replay straight through ({back[1] / once[1]:.3f} of its processor time) on {os.cpu_count()} cores; "
              f"each: {', '.join(f'{run[0]:.2f}' for run in backs)}; {text.splitlines()[-2].strip()}", flush=True)


def two(args, journal):
    """What two replays at once take, beside one alone: all that two cores can give."""
    alone, both = [], []
    for _ in range(args.rounds):
        alone.append(straight(args, journal)[0])
        start = time.monotonic()
        children = [replay_through(args, journal) for _ in range(2)]
        for child in children:
            child.wait()
        both.append(time.monotonic() - start)
    a, b = statistics.median(alone), statistics.median(both)
    print(f"one replay: {a:.1f} s; two at once: {b:.1f} s: a half of the run takes {b / a / 2:.2f} of a replay on each "
          f"of two cores; each round: {', '.join(f'{x:.1f}/{y:.1f}' for x, y in zip(alone, both))}", flush=True)


class Qemu:
    """QEMU's recorder or replayer, and its QMP monitor."""

    def __init__(self, folder, mode):
        file = lambda name: os.path.join(folder, name)
        command = ["qemu-system-x86_64", "-M", "pc,hpet=off", "-rtc", "base=utc,clock=vm", "-accel", "tcg"]
        command += ["-nodefaults", "-display", "none", "-no-reboot", "-net", "none"]
        # Without this a snapshot that was taken after the BIOS ran cannot be loaded: QEMU 10 deadlocks.
        command += ["-global", "apic-common.vapic=off"]
        command += ["-drive", f"file={file('q.qcow2')},if=none,id=rr", "-serial", "null"]
        command += ["-icount", f"shift=1,sleep=off,rr={mode},rrfile={file('q.rr')},rrsnapshot=init"]
        command += ["-qmp", f"unix:{file(mode)},server=on,wait=off"] + (["-S"] if mode == "replay" else [])
        command += guest("256M", "console=ttyS0 dejavm.mode=workload")
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        for _ in range(100):
            time.sleep(0.1)
            if os.path.exists(file(mode)):
                break
        self.socket.connect(file(mode))
        self.lines = self.socket.makefile("r")
        self.read("QMP")
        self.ask("qmp_capabilities")

    def read(self, key):
        while True:
            message = json.loads(self.lines.readline() or sys.exit("QEMU ended"))
            if key in message or message.get("event") == key:
                return message

    def ask(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        return self.read("return")["return"]

    def icount(self):
        return self.ask("query-replay")["icount"]

    def seek(self, icount):
        """The seconds that it takes to get there."""
        start = time.monotonic()
        self.ask("replay-seek", icount=icount)
        self.read("STOP")
        return time.monotonic() - start

    def quit(self):
        self.ask("quit")
        self.child.wait(30)


def qemu(args, folder):
    for needed in ("qemu-system-x86_64", "qemu-img"):
        if not shutil.which(needed):
            sys.exit(f"there is no {needed} here (Debian: apt-get install qemu-system-x86 qemu-utils)")
    image = os.path.join(folder, "q.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4G"], check=True)
    recorder, last, snapshots = Qemu(folder, "record"), 0, 0
    while last < 1_500_000_000:
        time.sleep(0.02)
        last = recorder.icount()
        if last > (snapshots + 1) * 250_000_000:
            snapshots += 1
            recorder.ask("human-monitor-command", **{"command-line": f"savevm at{snapshots}"})
    recorder.quit()
    print(f"QEMU: {last} instructions, {snapshots} snapshots, {os.path.getsize(image) / 2**20:.0f} MiB")
    rng, replayer = random.Random(1), Qemu(folder, "replay")
    seeks, back = [], []
    for _ in range(max(1, args.seeks // 5)):
        icount = rng.randrange(1_000_000, last - 1_000_000)
        seeks.append((replayer.seek(icount),))
        back.append((replayer.seek(icount - 1),))
    show("QEMU: seek to a random place", seeks)
    show("QEMU: one step back", back)
    replayer.quit()


def overhead(args, journal):
    without, with_them = [], []
    for _ in range(args.rounds):
        without.append(record(args, journal, "none"))
        with_them.append(record(args, journal, "1G"))
    for k, what in enumerate(("on the clock", "of processor time")):
        a, b = (statistics.median(run[k] for run in runs) for runs in (without, with_them))
        each = ", ".join(f"{x[k]:.1f}/{y[k]:.1f}" for x, y in zip(without, with_them))
        print(f"recording {args.icount} instructions, {what}: {a:.1f} s without checkpoints, {b:.1f} s with"
              f" ({100 * (b / a - 1):+.1f} %); each round: {each}", flush=True)
    a, b = (statistics.median(run[2] for run in runs) for runs in (without, with_them))
    print(f"memory at its most: {a:.0f} MiB without checkpoints, {b:.0f} MiB with them")
    side = os.path.getsize(journal + "c")
    print(f"the side file has {side / 2**20:.1f} MiB, the journal {os.path.getsize(journal) / 2**20:.1f} MiB")


def measure(args, folder):
    print(f"load when it begins: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {args.accel}", flush=True)
    journal = os.path.join(folder, "run.dj")
    if "record" in args.parts:
        overhead(args, journal)
    elif args.parts != {"qemu"}:
        file_of(journal)
    for part in (seek, search, fill, two):
        if part.__name__ in args.parts:
            part(args, journal)
    if "qemu" in args.parts:
        qemu(args, folder)


def main():
    args = arguments()
    if args.folder:
        os.makedirs(args.folder, exist_ok=True)
        return measure(args, args.folder)
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as folder:
        measure(args, folder)


if __name__ == "__main__":
    main()
