"""What is asked of a SCION daemon over gRPC: the keys that its `scion` program does not print.

Messages are written and read by hand, a few fields each; numbers as in the reference
implementation's proto/daemon/v1/daemon.proto.
"""
import time

import grpc

LIMIT_S = 60


def varint(value):
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    octets = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(octets)) + octets


def fields(octets):
    """The fields of a message by their numbers: numbers and octets, which is all that is asked for."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            octet = octets[at]
            at += 1
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value

    while at < len(octets):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            length = number()
            found[key >> 3] = octets[at:at + length]
            at += length
    return found


def isd_as(text):
    """The number of an AS that is written in three groups."""
    domain, groups = text.split("-")
    value = int(domain)
    for group in groups.split(":"):
        value = value << 16 | int(group, 16)
    return value


def key(daemon, method, protocol, source, destination, *hosts):
    """A key valid now: the octets, begin and end of its epoch. Raises grpc.RpcError where it is refused."""
    now = field(1, int(time.time()))
    request = field(1, now) + field(2, protocol) + field(3, isd_as(source)) + field(4, isd_as(destination))
    for number, host in enumerate(hosts, 5):
        request += field(number, host)
    with grpc.insecure_channel(daemon) as channel:
        call = channel.unary_unary(f"/proto.daemon.v1.DaemonService/{method}", request_serializer=None,
                                   response_deserializer=None)
        answer = fields(call(request, timeout=LIMIT_S, wait_for_ready=True))
    begin, end = (fields(answer[number])[1] for number in (1, 2))
    return {"key": answer[3].hex(), "begin": begin, "end": end}
