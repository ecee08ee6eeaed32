"""Reads a simpletrace of version 4 by the description of its format, with the events file that goes
with it, and prints a line of text per event, as dejavm's own text format has it.

    simpletrace_reader.py EVENTS TRACE
"""

import re
import struct
import sys

HEADER_ID = 0xFFFFFFFFFFFFFFFF
MAGIC = 0xF2B177CB0AA429B4
MAPPING, EVENT = 0, 1


def signatures(path):
    """name -> [(argument, is_text)]"""
    events = {}
    with open(path) as file:
        for line in file:
            name, arguments = re.fullmatch(r"(\w+)\((.*)\) \"\"\n", line).groups()
            parsed = []
            for argument in arguments.split(", "):
                kind, word = re.fullmatch(r"(uint64_t |const char \*)(\w+)", argument).groups()
                parsed.append((word, kind.startswith("const")))
            events[name] = parsed
    return events


def main():
    events = signatures(sys.argv[1])
    with open(sys.argv[2], "rb") as file:
        data = file.read()
    header, magic, version = struct.unpack_from("<QQQ", data)
    assert (header, magic, version) == (HEADER_ID, MAGIC, 4), "no simpletrace of version 4"
    at, names = 24, {}
    while at < len(data):
        (kind,) = struct.unpack_from("<Q", data, at)
        at += 8
        if kind == MAPPING:
            number, length = struct.unpack_from("<QI", data, at)
            at += 12
            names[number] = data[at : at + length].decode()
            at += length
            continue
        assert kind == EVENT, f"record of kind {kind} at {at}"
        number, time_ns, length, _pid = struct.unpack_from("<QQII", data, at)
        body, end = at + 24, at + length
        name, values = names[number], []
        for word, is_text in events[name]:
            if is_text:
                (size,) = struct.unpack_from("<I", data, body)
                values.append((word, data[body + 4 : body + 4 + size].decode()))
                body += 4 + size
            else:
                (value,) = struct.unpack_from("<Q", data, body)
                values.append((word, value))
                body += 8
        assert body == end, f"{name}: {body} is not {end}"
        at = end
        (_, icount), (_, vcpu), *rest = values
        vcpu = "-" if vcpu == HEADER_ID else str(vcpu)
        rest = [f"{w}={v if isinstance(v, str) else hex(v)}" for w, v in rest]
        print(" ".join([str(icount), str(time_ns), vcpu, name] + rest))


main()
