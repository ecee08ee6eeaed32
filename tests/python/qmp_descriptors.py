"""A client that passes file descriptors over the socket of a monitor for programs (SCM_RIGHTS).

Usage: qmp_descriptors.py SOCKET FILE
A dump goes into FILE, which only this client has opened. Needs no package. Exits with 0 if all is as it must be.
"""

import json
import os
import socket
import sys


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        assert "QMP" in self.read()
        self.execute("qmp_capabilities")

    def read(self):
        return json.loads(self.lines.readline())

    def execute(self, command, descriptors=(), **arguments):
        text = json.dumps({"execute": command, "arguments": arguments}).encode()
        if descriptors:
            socket.send_fds(self.socket, [text], list(descriptors))
        else:
            self.socket.sendall(text)
        while True:
            answer = self.read()
            if "event" not in answer:
                return answer

    def refused(self, command, reason, **arguments):
        answer = self.execute(command, **arguments)
        assert reason in answer["error"]["desc"], answer


def main(path, output):
    client = Client(path)
    other = Client(path)
    client.refused("getfd", "No file descriptor supplied via SCM_RIGHTS", fdname="core")
    with open(output, "wb") as file:
        assert client.execute("getfd", [file.fileno()], fdname="core") == {"return": {}}
    # A name is of the client who gave it.
    other.refused("closefd", "not found", fdname="core")
    other.refused("dump-guest-memory", "has not been found", paging=False, protocol="fd:core")
    assert client.execute("dump-guest-memory", paging=False, protocol="fd:core") == {"return": {}}
    with open(output, "rb") as file:
        assert file.read(4) == b"\x7fELF"
    client.refused("dump-guest-memory", "has not been found", paging=False, protocol="fd:core")
    # One that is given back, in the middle of others; and many that nobody names.
    null = os.open("/dev/null", os.O_WRONLY)
    assert client.execute("getfd", [null] * 3, fdname="a") == {"return": {}}
    assert client.execute("closefd", fdname="a") == {"return": {}}
    for _ in range(100):
        client.execute("query-status", [null] * 10)
    client.execute("quit")
    print("done")


main(sys.argv[1], sys.argv[2])
