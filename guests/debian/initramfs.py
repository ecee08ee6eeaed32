#!/usr/bin/env python3
"""Writes an initramfs (cpio 'newc' in gzip): busybox, /init, the workload, and further programs.

The same input gives the same bytes: no times, owners or inode numbers of the host.
"""

import gzip
import os
import stat
import subprocess
import sys


class Cpio:
    """An archive as Documentation/driver-api/early-userspace/buffer-format.rst of Linux has it."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        name = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(name), 0)
        self.data += b"070701" + b"".join(b"%08X" % f for f in fields) + name
        self._align()
        self.data += content
        self._align()

    def _align(self):
        self.data += bytes(-len(self.data) % 4)


def archive(busybox, init, programs):
    cpio = Cpio()
    for folder in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"):
        cpio.add(folder, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    further = [("bin/" + os.path.basename(path), path) for path in programs]
    for name, path in [("bin/busybox", busybox), ("init", init), *further]:
        with open(path, "rb") as f:
            cpio.add(name, stat.S_IFREG | 0o755, f.read())
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in sorted(set(applets.split()) - {"busybox"}):
        cpio.add("bin/" + applet, stat.S_IFLNK | 0o777, b"busybox")
    cpio.add("TRAILER!!!", 0)
    return bytes(cpio.data)


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: initramfs.py BUSYBOX INIT OUTPUT [PROGRAM...]")
    busybox, init, output, *programs = sys.argv[1:]
    os.chmod(busybox, 0o755)
    packed = gzip.compress(archive(busybox, init, programs), 9, mtime=0)
    with open(output + ".new", "wb") as f:
        f.write(packed)
    os.replace(output + ".new", output)


if __name__ == "__main__":
    main()
