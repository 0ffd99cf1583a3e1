"""One client and one server in a network of their own: what was asked, what came back, cell by cell."""
import datetime
import os
import tempfile
import time

from . import axdr
from .gridward import AK, EK, PASSWORD, TITLE
from .process import LARGEST, Program
from .tap import Tap, blocks_seen, protections, tags

SERVER_PORT, TAP_PORT = 4059, 4060
START_S, CLIENT_S = 20, 15

# The columns of the matrix, in this order.
CELLS = ("associate", "read", "list", "profile", "range", "entries", "write", "long", "action", "release")

ENERGY, SERIAL = "3:1.0.1.8.0.255:2", "1:0.0.96.1.0.255:2"
MESSAGE, PROFILE = "1:0.0.96.13.0.255:2", "7:1.0.99.1.0.255:2"
RESET = "3:1.0.1.8.0.255:1"

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

    def row(self, index):
        at = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=15 * index)
        return (at.year, at.month, at.day, at.hour, at.minute, at.second), self.first + index

    def table(self, first, last):
        return [self.row(index) for index in range(first, last)]


def operations(given):
    """{cell: [(operation, argument, what its answer must equal)]}; a check takes the answer line."""
    def value(octets):
        return lambda line: same(line.get("axdr"), octets)

    def table(first, last):
        return lambda line: axdr.rows(bytes.fromhex(line.get("axdr", ""))) == given.table(first, last)

    def done(_line):
        return True

    energy, serial = axdr.unsigned(given.energy), axdr.string(given.serial.encode())
    message, long = axdr.string(given.message), axdr.string(given.long)
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
    }


def same(got, wanted):
    """Equal as A-XDR, or, where a library tells only the decoded value, equal to that."""
    if isinstance(got, str) and got.startswith("octets:"):
        return axdr.decode(wanted)[1] == bytes.fromhex(got[len("octets:"):])
    if isinstance(got, int):
        return axdr.decode(wanted)[1] == got
    return isinstance(got, str) and got != "" and bytes.fromhex(got) == wanted


class Stranger:
    """A program of interop/build/bin in either role."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name

    def serve(self, case, given, protection, _scratch, port):
        return Program([
            os.path.join(self.folder, f"{self.name}-server"), "--port", str(port),
            "--framing", case["framing"], "--security", protection, "--ek", EK, "--ak", AK, "--password", PASSWORD,
            "--serial", given.serial, "--energy", str(given.energy), "--rows", str(given.rows),
            "--first", str(given.first)]), b"listening"

    @staticmethod
    def operations(_case, table):
        """The cells as they are asked of this server."""
        return table

    def ask(self, case, given, cells, _scratch, table):
        """Answers {cell: (ok, words)} for the cells asked for; `associate` and `release` always."""
        sap, mechanism, protection = ASSOCIATIONS[case["association"]]
        asked = [(cell, *step) for cell in cells if cell in table for step in table[cell]]
        words = [word for _, op, what, _ in asked for word in (op, what)]
        client = Program([
            os.path.join(self.folder, f"{self.name}-client"), "--port", str(TAP_PORT), "--framing", case["framing"],
            "--client-sap", sap, "--auth", mechanism, "--security", protection, "--ek", EK, "--ak", AK,
            "--title", TITLE, "--password", PASSWORD, "--ic", "100", *words])
        status = client.wait(CLIENT_S)
        lines = client.lines()
        results = {}
        if status is None:
            results["bound"] = (False, f"stopped after {CLIENT_S} s or {LARGEST >> 20} MiB of output")
        missing = {"result": f"no answer, exit {status}; {client.last_words()}"}
        if not lines:
            lines = [{"op": "associate", **missing}]
        results["associate"] = judge(lines[0], lambda line: line.get("op") == "associate")
        if results["associate"][0]:
            answers = lines[1:1 + len(asked)]
            for index, (cell, op, _, check) in enumerate(asked):
                line = answers[index] if index < len(answers) else missing
                verdict = judge(line, lambda line, op=op, check=check: line.get("op") == op and check(line))
                if results.get(cell, (True,))[0]:
                    results[cell] = verdict
            last = lines[-1] if len(lines) == len(asked) + 2 else missing
            results["release"] = judge(last, lambda line: line.get("op") == "release")
        return results


def judge(line, check):
    if line.get("result") != "ok":
        return False, str(line.get("result", "no result"))[:300]
    try:
        right = check(line)
    except ValueError as error:
        return False, f"{error}: {line.get('axdr', '')[:120]}"
    return (True, "") if right else (False, f"not what was given: {str(line.get('axdr', line.get('values', '')))[:160]}")


def talk(case, server, client, cells, scratch):
    """One server, one client, the cells asked for: {cell: {"ok", "words"}}, and what passed."""
    given = Given(case["number"])
    started = time.monotonic()
    _, _, protection = ASSOCIATIONS[case["association"]]
    folder = tempfile.mkdtemp(dir=scratch)
    program, ready = server.serve(case, given, protection, folder, SERVER_PORT)
    tap = None
    try:
        if not program.wait_for(ready, START_S):
            return {"associate": (False, f"the server did not start: {program.last_words()}")}, []
        tap = Tap(TAP_PORT, SERVER_PORT)
        results = client.ask(case, given, cells, folder, server.operations(case, operations(given)))
        if results["associate"][0]:
            seen = protections(tap.pieces, case["framing"])
            wanted = {CONTROL[protection]} if protection in CONTROL else set()
            if seen != wanted:
                shown = " ".join(f"{octet:02x}" for octet in sorted(seen)) or "none"
                results["associate"] = (False, f"security control octets on the line: {shown}")
            elif "release" in results and results["release"][0] and case["framing"] == "wrapper":
                if not {(True, 0x62), (False, 0x63)} <= tags(tap.pieces, case["framing"]):
                    results["release"] = (False, "no RLRQ and RLRE on the line")
        if blocks_seen(tap.pieces, case["framing"]):
            results["blocks"] = (True, "")
        return results, tap.tail() + [f"{time.monotonic() - started:.2f} s"]
    finally:
        if tap:
            tap.close()
        program.stop()


def converse(case, server, client, scratch):
    """The cells that must be right in one association; each that was not once more alone, which decides.

    Cells that a stranger is known to do wrong are asked alone, those that it lacks are not asked.
    """
    together = [cell for cell in CELLS if cell not in case["faults"] and cell not in case["lacking"]]
    if "associate" in case["lacking"]:
        return {"cells": {}, "blocks": False, "evidence": {}, "bound": ""}
    results, tail = talk(case, server, client, together, scratch)
    evidence = {}
    blocks = results.pop("blocks", (False,))[0]
    bound = results.pop("bound", (False, ""))[1]
    if results["associate"][0]:
        for cell in CELLS[1:]:
            if cell in case["lacking"] or results.get(cell, (False, ""))[0]:
                continue
            if cell == "release" and cell in case["faults"] and cell in results:
                evidence[cell] = tail
                continue
            case = {**case, "number": case["number"] + 1}
            alone, lines = talk(case, server, client, [cell], scratch)
            results[cell] = alone.get(cell, (False, alone["associate"][1] or "no answer"))
            evidence[cell] = lines
            bound = bound or alone.get("bound", (False, ""))[1]
    else:
        evidence["associate"] = tail
    return {
        "cells": {cell: {"ok": ok, "words": words} for cell, (ok, words) in results.items()},
        "blocks": blocks,
        "evidence": {cell: lines for cell, lines in evidence.items() if not results[cell][0]},
        "bound": bound,
    }
