"""A recording under the control of the public QMP client: go to places, stop at one, look, save.

Usage: qmp_session.py SOCKET|HOST:PORT LAST_ICOUNT
The replay there has not run yet. Exits with 0 if all is as it must be.
"""

import asyncio
import os
import sys
import tempfile

from qemu.qmp import QMPClient
from qemu.qmp.qmp_client import ExecuteError


async def arrival(events):
    """The next arrival, and the names of the events up to it."""
    names = []
    while True:
        event = await asyncio.wait_for(events.get(), 60)
        names.append(event["event"])
        if event["event"] == "REPLAY_ARRIVED":
            return names, event["data"]


async def refused(qmp, command, arguments, reason):
    try:
        await qmp.execute(command, arguments)
    except ExecuteError as error:
        assert reason in str(error), f"{command}: {error}"
    else:
        raise AssertionError(f"{command} was not refused")


async def main(path, last):
    qmp = QMPClient("test")
    host, colon, port = path.rpartition(":")
    await qmp.connect((host, int(port)) if colon and "/" not in path else path)
    assert "oob" in qmp.greeting.QMP.capabilities
    status = await qmp.execute("query-status")
    assert not status["running"] and status["status"] in ("prelaunch", "paused"), status
    middle = last // 2
    with qmp.listener() as events:
        await qmp.execute("replay-seek", {"icount": middle})
        names, data = await arrival(events)
        assert names == ["RESUME", "STOP", "REPLAY_ARRIVED"], names
        assert data == {"icount": middle, "reason": "seek"}, data
        replay = await qmp.execute("query-replay")
        assert (replay["mode"], replay["icount"]) == ("play", middle), replay
        there = await qmp.execute("human-monitor-command", {"command-line": "info registers"})

        await qmp.execute("replay-break", {"icount": middle + 1000})
        await qmp.execute("cont")
        names, data = await arrival(events)
        assert data == {"icount": middle + 1000, "reason": "breakpoint"}, data
        await qmp.execute("replay-delete-break")

        await qmp.execute("replay-seek", {"icount": middle})
        await arrival(events)
        again = await qmp.execute("human-monitor-command", {"command-line": "info registers"})
        assert there == again, "the same place looks different"

        # Backward, by steps and to where the run was to stop; and a place with a name.
        await qmp.execute("replay-mark", {"name": "middle"})
        assert [mark["icount"] for mark in await qmp.execute("query-replay-marks")] == [middle]
        await qmp.execute("replay-break", {"icount": middle + 500})
        assert await qmp.execute("query-replay-breaks") == [middle + 500]
        await qmp.execute("replay-seek", {"icount": last})
        await arrival(events)
        back = await qmp.execute("replay-reverse-continue")
        assert back == {"found": True, "icount": middle + 500}, back
        await arrival(events)
        await qmp.execute("replay-reverse-step", {"count": 500})
        names, data = await arrival(events)
        assert data == {"icount": middle, "reason": "seek"}, data
        again = await qmp.execute("human-monitor-command", {"command-line": "info registers"})
        assert there == again, "the same place looks different from behind"
        await qmp.execute("replay-delete-break")
        write = await qmp.execute("replay-last-write", {"address": 0x1000, "physical": True})
        assert write["icount"] <= middle, write
        kept = await qmp.execute("query-checkpoints")
        assert kept["count"] == len(kept["icounts"]), kept
        await qmp.execute("replay-mark", {"name": "middle", "delete": True})
        assert await qmp.execute("query-replay-marks") == []

        await qmp.execute("cont")
        while data["reason"] != "end":
            names, data = await arrival(events)
        assert data == {"icount": last, "reason": "end"}, data
        status = await qmp.execute("query-status")
        assert status == {"running": False, "status": "shutdown"}, status

    await refused(qmp, "replay-reverse-step", {"count": last + 1}, "instructions lie before this one")
    await refused(qmp, "query-hotpluggable-cpus", None, "does not support hot-plugging")
    assert (await qmp.execute("query-pci"))[0]["devices"][0]["id"] == {"device": 0x1237, "vendor": 0x8086}
    assert [machine["name"] for machine in await qmp.execute("query-machines")] == ["pc"]
    await refused(qmp, "replay-seek", {"icount": last + 1}, "cannot seek to the specified instruction count")
    await refused(qmp, "system_reset", None, "replay")
    await refused(qmp, "nosuch", None, "The command nosuch has not been found")

    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, "memory")
        await qmp.execute("pmemsave", {"val": 0, "size": 65536, "filename": saved})
        assert os.path.getsize(saved) == 65536

    # What the schema says there is, is there.
    commands = {command["name"] for command in await qmp.execute("query-commands")}
    schema = await qmp.execute("query-qmp-schema")
    described = {entry["name"] for entry in schema if entry["meta-type"] == "command"}
    assert commands == described
    # The answer comes before the end; that the other side has closed is no error then.
    assert await qmp.execute("quit") == {}
    try:
        await qmp.disconnect()
    except EOFError:
        pass
    print("done")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
