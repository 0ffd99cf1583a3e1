"""What a server is given, what is asked of it, and what the answers must equal."""
import datetime

from . import axdr

EK, AK = "3f8a1c5e7790b2d4f60123456789abce", "9b1e6d20c7f3548a0e71d2c3b4a59687"
TITLE = "4757440000c0ffee"
BROADCAST_KEY = "a40f7be2915d38c6e07312fb86d94c55"
PASSWORD = "quarter-hour"

SERVER_PORT, TAP_PORT = 4059, 4060
START_S, CLIENT_S = 20, 15

# The columns of the matrix, in this order.
CELLS = ("associate", "read", "list", "profile", "range", "entries", "write", "long", "action", "release")
# Those of conversations with short APDUs, where all is in blocks but the association and what goes to all stations.
IN_BLOCKS = ("associate", "get-blocks", "objects", "set-blocks", "act-blocks", "all")
EVERY = (*CELLS, *IN_BLOCKS[1:])

PDU = 1024  # octets of the longest APDU of a stranger
SHORT_PDU, ROOMY_PDU = 96, 200  # the same where blocks are wanted, ours and theirs: some hold an AARQ to it
SLACK = 16  # Gurux leaves a header of general ciphering out of account

ENERGY, SERIAL = "3:1.0.1.8.0.255:2", "1:0.0.96.1.0.255:2"
MESSAGE, PROFILE = "1:0.0.96.13.0.255:2", "7:1.0.99.1.0.255:2"
RESET, SHOW = "3:1.0.1.8.0.255:1", "1:0.0.96.13.0.255:1"
OBJECTS = "15:0.0.40.0.0.255:2"

ASSOCIATIONS = {
    "none": ("16", "none", "none"),
    "lls": ("2", "lls", "none"),
    "hls5-auth": ("1", "hls5", "auth"),
    "hls5-enc": ("1", "hls5", "enc"),
    "hls5-auth-enc": ("1", "hls5", "auth-enc"),
}
CONTROL = {"auth": 0x10, "enc": 0x20, "auth-enc": 0x30}


class Given:
    """What the server is given in one conversation: no two conversations share a value."""

    def __init__(self, number):
        self.serial = f"GWDPEER{number:09d}"
        self.energy = 1_000_000 + 7 * number
        self.first = 100_000 + 1000 * number
        self.rows = 96
        self.message = f"written {number}".encode()
        self.long = bytes((number + i) % 251 for i in range(1500))
        self.blocks = bytes((number + 3 * i) % 253 for i in range(300))
        self.shown = bytes((number + 5 * i) % 255 for i in range(280))

    def row(self, index):
        at = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=15 * index)
        return (at.year, at.month, at.day, at.hour, at.minute, at.second), self.first + index

    def table(self, first, last):
        return [self.row(index) for index in range(first, last)]


def cells_of(case):
    return IN_BLOCKS if case["blocks"] else CELLS


def pdu_of(case):
    """What a stranger takes in one APDU."""
    return ROOMY_PDU if case["blocks"] else PDU


def operations(given):
    """{cell: [(operation, argument, what its answer must equal)]}; a check takes the answer line."""
    def value(octets):
        return lambda line: same(line.get("axdr"), octets)

    def table(first, last):
        return lambda line: rows_of(line) == given.table(first, last)

    def done(_line):
        return True

    energy, serial = axdr.unsigned(given.energy), axdr.string(given.serial.encode())
    message, long = axdr.string(given.message), axdr.string(given.long)
    blocks, shown = axdr.string(given.blocks), axdr.string(given.shown)
    return {
        "read": [("get", ENERGY, value(energy)), ("get", SERIAL, value(serial))],
        "list": [("list", f"{ENERGY},{SERIAL}", lambda line: len(line.get("values", [])) == 2
                  and same(line["values"][0], energy) and same(line["values"][1], serial))],
        "profile": [("get", PROFILE, table(0, given.rows))],
        "range": [("range", f"{PROFILE}=2026-01-01T01:00:00Z..2026-01-01T01:30:00Z", table(4, 7))],
        "entries": [("entries", f"{PROFILE}=2-3", table(1, 3))],
        "write": [("set", f"{MESSAGE}={message.hex()}", done), ("get", MESSAGE, value(message))],
        "long": [("set", f"{MESSAGE}={long.hex()}", done), ("get", MESSAGE, value(long))],
        "action": [("act", f"{RESET}=0f00", done), ("get", ENERGY, value(axdr.unsigned(0)))],
        "get-blocks": [("get", PROFILE, table(0, given.rows))],
        "objects": [("get", OBJECTS, lambda line: {what[:what.rindex(":")] for what in (
            ENERGY, SERIAL, MESSAGE, PROFILE)} <= objects_of(line))],
        "set-blocks": [("set", f"{MESSAGE}={blocks.hex()}", done), ("get", MESSAGE, value(blocks))],
        "all": [("all", f"{MESSAGE}={message.hex()}", done), ("get", MESSAGE, value(message))],
        "act-blocks": [("act", f"{SHOW}={shown.hex()}", done), ("get", MESSAGE, value(shown))],
    }


def rows_of(line):
    """The rows of a profile: as they were told, else out of A-XDR."""
    return line["rows"] if "rows" in line else axdr.rows(bytes.fromhex(line.get("axdr", "")))


def objects_of(line):
    """{CLASS:OBIS} of an object list: as they were told, else out of A-XDR."""
    return line["objects"] if "objects" in line else axdr.objects(bytes.fromhex(line.get("axdr", "")))


def same(got, wanted):
    """Equal as A-XDR, or, where a library tells only the decoded value, equal to that."""
    if isinstance(got, str) and got.startswith("octets:"):
        return axdr.decode(wanted)[1] == bytes.fromhex(got[len("octets:"):])
    if isinstance(got, int):
        return axdr.decode(wanted)[1] == got
    return isinstance(got, str) and got != "" and bytes.fromhex(got) == wanted


def judge(line, check):
    if line.get("result") != "ok":
        return False, str(line.get("result", "no result"))[:300]
    try:
        right = check(line)
    except ValueError as error:
        return False, f"{error}: {line.get('axdr', '')[:120]}"
    if right:
        return True, ""
    got = f"{len(line['rows'])} rows" if "rows" in line else str(line.get("axdr", line.get("values", "")))[:160]
    return False, f"not what was given: {got}"
