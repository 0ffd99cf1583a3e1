"""The command line and the JSON lines that all Python clients here share.

A client is a class with `associate`, `get`, `set`, `act`, `list`, `range`, `entries` and
`release`; what the library cannot do is left to raise `Unsupported`. Values cross as A-XDR hex.
"""
import argparse
import collections
import datetime
import json
import sys
import time

Target = collections.namedtuple("Target", "class_id obis id")


class Unsupported(Exception):
    """The library has no such service."""


class Client:
    """What a library does not offer stays as it is here."""

    def __init__(self, options):
        self.options = options

    def _unsupported(self, *_):
        raise Unsupported("the library does not offer this")

    get = set = all = act = list = range = entries = _unsupported

    def close(self):
        """Closes whatever is open, however the association ended."""


def options():
    parser = argparse.ArgumentParser()
    for name, default in {
        "host": "127.0.0.1", "framing": "wrapper", "auth": "none", "security": "none", "password": "12345678",
        "ek": "000102030405060708090a0b0c0d0e0f", "ak": "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
        "broadcast-key": "0f0e0d0c0b0a09080706050403020100", "title": "4d4d4d0000000001", "gateway": "",
    }.items():
        parser.add_argument("--" + name, default=default)
    for name, default in {
        "port": 4059, "client-sap": 16, "server-sap": 1, "ic": 1, "pdu": 1024, "timeout-ms": 10000,
    }.items():
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("operations", nargs="*")
    return parser.parse_args()


def target(text):
    class_id, obis, number = text.split(":")
    return Target(int(class_id), obis, int(number))


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


def date_time(when):
    """The 12 octets of a COSEM date-time in UTC (Blue Book 4.1.6.1)."""
    return bytes([when.year >> 8, when.year & 0xFF, when.month, when.day, 0xFF,
                  when.hour, when.minute, when.second, 0, 0, 0, 0])


def perform(client, op, what):
    """Returns what the answer line of one operation says beside its result."""
    names, _, argument = what.partition("=")
    if op == "list":
        return {"values": client.list([target(name) for name in names.split(",")])}
    if op == "get":
        return {"axdr": client.get(target(names))}
    if op == "set":
        client.set(target(names), bytes.fromhex(argument))
        return {}
    if op == "all":
        client.all(target(names), bytes.fromhex(argument))
        return {}
    if op == "act":
        return {"axdr": client.act(target(names), bytes.fromhex(argument)) or ""}
    if op == "image":
        client.image(names, argument)
        return {}
    if op == "range":
        first, _, last = argument.partition("..")
        return {"axdr": client.range(target(names), moment(first), moment(last))}
    if op == "entries":
        first, _, last = argument.partition("-")
        return {"axdr": client.entries(target(names), int(first), int(last))}
    raise ValueError(f"no operation {op}")


def answer(op, started, result="ok", **more):
    line = {"op": op, "result": result, **more, "us": int((time.perf_counter() - started) * 1e6)}
    print(json.dumps(line), file=OUT, flush=True)
    return result == "ok"


def words(error):
    kind = "unsupported" if isinstance(error, (Unsupported, NotImplementedError)) else type(error).__name__
    return f"{kind}: {error}"[:500]


def main(kind):
    client = kind(options())
    failures = 0
    started = time.perf_counter()
    try:
        client.associate()
        answer("associate", started)
    except Exception as error:
        answer("associate", started, words(error))
        client.close()
        sys.exit(1)
    pairs = iter(client.options.operations)
    for op, what in zip(pairs, pairs):
        started = time.perf_counter()
        try:
            answer(op, started, what=what, **perform(client, op, what))
        except Exception as error:  # the next operation may still work
            failures += 1
            answer(op, started, words(error), what=what)
    started = time.perf_counter()
    try:
        client.release()
        answer("release", started)
    except Exception as error:
        failures += 1
        answer("release", started, words(error))
    client.close()
    sys.exit(1 if failures else 0)


# What a library prints itself goes to the error output.
OUT = sys.stdout
sys.stdout = sys.stderr
