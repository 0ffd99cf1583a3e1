"""One client and one server in a network of their own: what was asked, what came back, cell by cell."""
import os
import re
import tempfile
import time

from .given import (AK, ASSOCIATIONS, BROADCAST_KEY, CLIENT_S, CONTROL, EK, IN_BLOCKS, PASSWORD, SERVER_PORT,
                    SHORT_PDU, SLACK, START_S, TAP_PORT, TITLE, Given, cells_of, judge, operations, pdu_of)
from .process import LARGEST, Program
from .tap import BROADCAST, Tap, listed, longest, protections, tags


class Stranger:
    """A program of interop/build/bin in either role."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name

    def serve(self, case, given, protection, _scratch, port):
        return Program([
            os.path.join(self.folder, f"{self.name}-server"), "--port", str(port),
            "--framing", case["framing"], "--security", protection, "--ek", EK, "--ak", AK, "--password", PASSWORD,
            "--serial", given.serial, "--energy", str(given.energy), "--rows", str(given.rows),
            "--first", str(given.first), "--pdu", str(pdu_of(case))]), b"listening"

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
            "--title", TITLE, "--password", PASSWORD, "--ic", "100", "--broadcast-key", BROADCAST_KEY, "--pdu", str(pdu_of(case)), *words])
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


def talk(case, server, client, cells, scratch):
    """One server, one client, the cells asked for: {cell: (ok, words)}, what passed, and its end as text."""
    given = Given(case["number"])
    started = time.monotonic()
    _, _, protection = ASSOCIATIONS[case["association"]]
    folder = tempfile.mkdtemp(dir=scratch)
    program, ready = server.serve(case, given, protection, folder, SERVER_PORT)
    tap = None
    try:
        if not program.wait_for(ready, START_S):
            return {"associate": (False, f"the server did not start: {program.last_words()}")}, [], []
        tap = Tap(TAP_PORT, SERVER_PORT)
        results = client.ask(case, given, cells, folder, server.operations(case, operations(given)))
        if results["associate"][0]:
            seen = {octet & ~BROADCAST for octet in protections(tap.pieces, case["framing"])}
            wanted = {CONTROL[protection]} if protection in CONTROL else set()
            if seen != wanted:
                shown = " ".join(f"{octet:02x}" for octet in sorted(seen)) or "none"
                results["associate"] = (False, f"security control octets on the line: {shown}")
            elif "release" in results and results["release"][0] and case["framing"] == "wrapper":
                if not {(True, 0x62), (False, 0x63)} <= tags(tap.pieces, case["framing"]):
                    results["release"] = (False, "no RLRQ and RLRE on the line")
            judge_octets(case, results, tap.pieces)
        return results, tap.pieces, tap.tail() + [f"{time.monotonic() - started:.2f} s"]
    finally:
        if tap:
            tap.close()
        program.stop()


def judge_octets(case, results, pieces):
    """Takes back what the octets on the line do not bear out."""
    most = SLACK + (SHORT_PDU if case["server"] == "gridward" else pdu_of(case))
    if case["blocks"] and (size := longest(pieces, case["framing"])) > most:
        for cell in IN_BLOCKS[1:]:
            if results.get(cell, (False,))[0]:
                results[cell] = (False, f"not in blocks: an APDU of {size} octets passed")
    plain = ASSOCIATIONS[case["association"]][2] == "none"
    if case["client"] == "gridward" and plain and results.get("list", (False,))[0]:
        if listed(pieces, case["framing"]) < 3:
            results["list"] = (False, "no list of three attributes on the line")


def as_told(case, cell, words, pieces):
    """Whether a cell fails as its rule says: in these words, and with these octets where they can be seen.

    `??` stands for any octet, `..` for up to 256. What services carry is not to be seen where it is encrypted.
    """
    rule = case["faults"][cell]
    if rule["says"] and not any(said in words for said in rule["says"]):
        return False
    if cell not in ("associate", "release") and ASSOCIATIONS[case["association"]][2] in ("enc", "auth-enc") and \
            not rule["on_line_encrypted"]:
        return bool(rule["says"])
    streams = {}
    for number, sent, octets in pieces:
        streams[number, sent] = streams.get((number, sent), b"") + octets
    shapes = [re.compile(b"".join(
        {"..": b".{0,256}?", "??": b"."}.get(octet) or re.escape(bytes.fromhex(octet)) for octet in shape.split()),
        re.DOTALL) for shape in rule["on_line"]]
    return any(shape.search(stream) for shape in shapes for stream in streams.values())


# What clients say that gave up waiting, as on a machine that is busy.
IMPATIENT = re.compile(r"could not receive data|timed? ?out|no answer", re.IGNORECASE)


def converse(case, server, client, scratch):
    """The cells that must be right in one association, and each that a stranger is known to do wrong alone.

    A failure counts, also where the cell is right when it is asked once more alone, which its words then tell; but for
    a stranger that did not wait for an answer, and what he is then confused by in the same association: of these the
    second answer counts, and `run` bounds how many there may be. Cells that a stranger lacks are not asked.
    """
    together = [cell for cell in cells_of(case) if cell not in case["faults"] and cell not in case["lacking"]]
    if "associate" in case["lacking"]:
        return {"cells": {}, "evidence": {}, "bound": "", "repeated": "", "late": []}
    results, pieces, tail = talk(case, server, client, together, scratch)
    repeated = ""
    if not results["associate"][0] and "associate" not in case["faults"] and case["server"] == "gridward" \
            and case["association"].startswith("hls5"):
        # Of random challenges, one in some 1,400 reads as an APDU: our meter does not answer it. `run` takes one.
        repeated = results["associate"][1] or "no words"
        case = {**case, "number": case["number"] + 1}
        results, pieces, tail = talk(case, server, client, together, scratch)
    evidence, told, late = {}, {}, []
    bound = results.pop("bound", (False, ""))[1]
    if results["associate"][0]:
        for cell in cells_of(case)[1:]:
            if cell in case["lacking"] or results.get(cell, (False, ""))[0]:
                continue
            if cell == "release" and cell in case["faults"] and cell in results:
                evidence[cell], told[cell] = tail, pieces
                continue
            first = results.get(cell)
            case = {**case, "number": case["number"] + 1}
            alone, passed, lines = talk(case, server, client, [cell], scratch)
            results[cell] = alone.get(cell, (False, alone["associate"][1] or "no answer"))
            evidence[cell], told[cell] = lines, passed
            bound = bound or alone.get("bound", (False, ""))[1]
            if cell not in case["faults"]:
                ok, words = results[cell]
                before = first[1] if first else "no answer"
                if ok and case["client"] != "gridward" and (late or IMPATIENT.search(before)):
                    late.append(f"{cell}: {before}")
                else:
                    results[cell] = (False, f"{before}; alone: {'right' if ok else words}")
    else:
        evidence["associate"], told["associate"] = tail, pieces
    return {
        "cells": {cell: {"ok": ok, "words": words, "as_told": not ok and cell in case["faults"] and as_told(
            case, cell, words, told[cell])} for cell, (ok, words) in results.items()},
        "evidence": {cell: lines for cell, lines in evidence.items() if not results[cell][0]},
        "bound": bound,
        "repeated": repeated,
        "late": late,
    }
