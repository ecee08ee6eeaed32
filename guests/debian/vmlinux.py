#!/usr/bin/env python3
"""Takes the vmlinux (an ELF file) out of a bzImage: vmlinux.py BZIMAGE VMLINUX

Where the payload is, Documentation/arch/x86/boot.rst of Linux says (payload_offset); the last
four bytes of it are the length of what was compressed.
"""

import gzip
import lzma
import struct
import sys

LZ4_LEGACY = b"\x02\x21\x4c\x18"


def length(data, at, nibble):
    """A length of the LZ4 block format, which goes on in further bytes from 15 on."""
    if nibble == 15:
        while data[at] == 255:
            nibble += 255
            at += 1
        nibble += data[at]
        at += 1
    return nibble, at


def lz4_block(data):
    """A block as doc/lz4_Block_format.md of LZ4 has it."""
    out = bytearray()
    at, end = 0, len(data)
    while True:
        token = data[at]
        literals, at = length(data, at + 1, token >> 4)
        out += data[at : at + literals]
        at += literals
        if at >= end:
            return out
        start = len(out) - (data[at] | data[at + 1] << 8)
        match, at = length(data, at + 2, token & 15)
        match += 4
        piece = out[start : start + match]
        # A match may reach into itself: then it repeats.
        while len(piece) < match:
            piece += piece[: match - len(piece)]
        out += piece


def lz4_legacy(data):
    """Blocks with their sizes in front: the legacy frame, which kernels use."""
    out, at = bytearray(), len(LZ4_LEGACY)
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        out += lz4_block(data[at + 4 : at + 4 + size])
        at += 4 + size
    return out


DECODERS = {
    LZ4_LEGACY: lz4_legacy,
    b"\xfd7zXZ": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x1f\x8b": gzip.decompress,
}


def vmlinux(image):
    if image[0x202:0x206] != b"HdrS":
        sys.exit("vmlinux.py: not a bzImage")
    setup_sectors = image[0x1F1] or 4
    offset, size = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload, (expected,) = image[start : start + size - 4], struct.unpack_from("<I", image, start + size - 4)
    for magic, decode in DECODERS.items():
        if payload.startswith(magic):
            kernel = decode(payload)
            break
    else:
        sys.exit(f"vmlinux.py: no decoder for a payload that starts with {payload[:6].hex(' ')}")
    if len(kernel) != expected or not kernel.startswith(b"\x7fELF"):
        sys.exit("vmlinux.py: what came out is damaged")
    return kernel


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        kernel = vmlinux(f.read())
    with open(sys.argv[2], "wb") as f:
        f.write(kernel)
