"""Reads a Perfetto trace with the message descriptors that the `perfetto` package of PyPI carries, and
prints a line of text per event, as dejavm's own text format has it.

    perfetto_reader.py TRACE
"""

import sys

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb


def main():
    trace = pb.Trace()
    with open(sys.argv[1], "rb") as file:
        trace.ParseFromString(file.read())
    tracks = {}
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            tracks[packet.track_descriptor.uuid] = packet.track_descriptor.name
            continue
        event = packet.track_event
        assert event.type == pb.TrackEvent.TYPE_INSTANT
        track = tracks[event.track_uuid]
        vcpu = "-" if track == "machine" else track.removeprefix("vCPU ")
        values = []
        for annotation in event.debug_annotations:
            kind = annotation.WhichOneof("value")
            values.append((annotation.name, getattr(annotation, kind)))
        (word, icount), *rest = values
        assert word == "icount"
        rest = [f"{w}={v if isinstance(v, str) else hex(v)}" for w, v in rest]
        print(" ".join([str(icount), str(packet.timestamp), vcpu, event.name] + rest))


main()
