"""What the benchmarks run: the program, and the guests of guests/debian/build."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
