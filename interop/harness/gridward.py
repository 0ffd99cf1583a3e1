"""Our own binary in both roles, by the forms that `gridward --help` prints."""
import datetime
import json
import os
import re
import subprocess
import sys

from . import axdr
from .given import (AK, ASSOCIATIONS, BROADCAST_KEY, CLIENT_S, EK, OBJECTS, PASSWORD, PROFILE, SERIAL, SHORT_PDU,
                    TAP_PORT, TITLE, judge)
from .process import LARGEST, Program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Encryption, broadcast and authentication key under the master key, by AES key wrap (RFC 3394): made
# once with another implementation. They are those that it has, so that all goes on as before.
MASTER_KEY = "5be1c07d94a2f83610d7e94b2c85f6a3"
WRAPPED = (
    "afe1c912ca684994da2caa180e45cc649dccda4353014d05",
    "aa8823ee8a79eeb18c84c73567556ae9820789dc99f3e249",
    "81b8934cc94c7939eb9d42a08f9fc44b3ecbd31cbaa345d8",
)
KEY_TRANSFER = "64:0.0.43.0.0.255:2"
REQUIRE = {"auth": "auth", "enc": "enc", "auth-enc": "authenc"}
POWER_W = 360  # drawn all the time, so that a quarter of an hour is 90 Wh
BREAKER, CLOCK = "70:0.0.96.3.10.255", "8:0.0.1.0.0.255"
SHIFT_S = 40
ANSWER_S, FAULT_S = 10, 2  # what our client waits, and where the server is known to leave it waiting


def build():
    """Builds our program, or takes what GRIDWARD names, for this process and those that it starts."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "built"), "gridward"], stdout=subprocess.PIPE, text=True,
                          check=False)
    program = done.stdout.strip()
    if done.returncode or not os.access(program, os.X_OK):
        sys.exit(f"FAILED there is no program of ours to hold against others: {program or 'it was not built'}")
    os.environ["GRIDWARD"] = program


def binary():
    """What `build` found."""
    return os.environ["GRIDWARD"]


def write_private(path, text):
    """A file that nobody else may read, as key files must be."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def meter_files(case, given, protection, scratch):
    """The model and the key file of one meter, with what it is given."""
    with open(os.path.join(ROOT, "interop", "model.toml"), encoding="utf-8") as file:
        model = file.read()
    for mark, value in {"@PDU@": str(SHORT_PDU if case.get("blocks") else 2048), "@REQUIRE@": REQUIRE.get(protection, "authenc"), "@SERIAL@": given.serial,
                        "@ENERGY@": str(given.energy)}.items():
        model = model.replace(mark, value)
    paths = os.path.join(scratch, "model.toml"), os.path.join(scratch, "keys.toml")
    write_private(paths[0], model)
    write_private(paths[1], f'''
[[meter]]
logical_device_name = "{given.serial}"
system_title = "47574400{case["number"]:08x}"
master_key = "{MASTER_KEY}"
broadcast_key = "{BROADCAST_KEY}"
[[meter.client]]
sap = 1
mechanism = "hls5"
encryption_key = "{EK}"
authentication_key = "{AK}"
suite = 0
[[meter.client]]
sap = 2
mechanism = "lls"
password = "{PASSWORD}"
''')
    return paths


def quarter(moment):
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


class Rows:
    """What a meter under constant power has captured: a row each quarter of an hour, up to now."""

    def __init__(self):
        self.last = quarter(datetime.datetime.now(datetime.timezone.utc))

    def right(self, octets, first, last):
        """Whether rows `first` to `last` of the newest 96, from 0, are there; a quarter may pass meanwhile."""
        got = axdr.rows(octets)
        ends = (self.last, self.last + datetime.timedelta(minutes=15))
        times = [[self._time(end, 95 - index) for index in range(first, last)] for end in ends]
        steps = [later[1] - earlier[1] for earlier, later in zip(got, got[1:])]
        return [time for time, _ in got] in times and all(step == POWER_W // 4 for step in steps) and \
            all(energy == self._energy(time) for time, energy in got)

    @staticmethod
    def _time(end, back):
        at = end - datetime.timedelta(minutes=15 * back)
        return at.year, at.month, at.day, at.hour, at.minute, at.second

    def _energy(self, time):
        at = datetime.datetime(*time, tzinfo=datetime.timezone.utc)
        return int(at.timestamp()) * POWER_W // 3600

    def span(self, first, last):
        """FROM..TO of rows, both ends included."""
        return "..".join((self.last - datetime.timedelta(minutes=15 * (95 - index))).strftime("%Y-%m-%dT%H:%M:%SZ")
                         for index in (first, last))


def seconds(line):
    """The seconds since 2000 of an answered date-time in UTC."""
    octets = axdr.decode(bytes.fromhex(line["axdr"]))[1]
    year = int.from_bytes(octets[:2], "big")
    return (datetime.datetime(year, *octets[2:4], *octets[5:8]) - datetime.datetime(2000, 1, 1)).total_seconds()


class Gridward:
    """Both roles."""

    def __init__(self):
        self.rows = None

    def serve(self, case, given, protection, scratch, port):
        model, keys = meter_files(case, given, protection, scratch)
        listen = f"tcp://127.0.0.1:{port}"
        if case["framing"] == "hdlc":
            # jDLMS cannot send an APDU in segments; the others are held to frames of 128 octets.
            listen = f"hdlc+{listen}?info={2030 if case['client'] == 'jdlms' else 128}"
        data = os.path.join(scratch, "data")
        self.rows = Rows()
        given.long = given.long[:1000]  # a text on a display has at most 1,024 octets
        return Program([binary(), "meter", "--json", "--listen", listen, "--model", model,
                        "--keys", keys, "--data", data, "--power", str(POWER_W)]), b'"endpoint"'

    def operations(self, case, table):
        """The cells as they are asked of this server."""
        rows = self.rows

        def check(first, last):
            return lambda line: rows.right(bytes.fromhex(line.get("axdr", "")), first, last)

        before = []

        def shifted(line):
            return SHIFT_S <= seconds(line) - before[0] < SHIFT_S + 15

        if case["association"] in ("hls5-auth", "hls5-auth-enc"):
            action = [("act", f"{BREAKER}:1=0f00", lambda line: True),
                      ("get", f"{BREAKER}:2", lambda line: line.get("axdr") == "0300")]
        else:
            action = [("get", f"{CLOCK}:2", lambda line: before.append(seconds(line)) is None),
                      ("act", f"{CLOCK}:6=10{SHIFT_S:04x}", lambda line: True),
                      ("get", f"{CLOCK}:2", shifted)]
        return {
            **table,
            "profile": [("get", PROFILE, check(0, 96))],
            "range": [("range", f"{PROFILE}={rows.span(4, 6)}", check(4, 7))],
            "entries": [("entries", f"{PROFILE}=2-3", check(1, 3))],
            "action": action,
            "get-blocks": [("get", PROFILE, check(0, 96))],
            "act-blocks": [("act", f"{KEY_TRANSFER}={key_transfer().hex()}", lambda line: True)],
        }

    def ask(self, case, given, cells, scratch, table):
        """A program and an association for each step, as whoever types commands has it."""
        self.scratch, self.case = scratch, case
        self.limit_s = ANSWER_S if "associate" not in case["faults"] else FAULT_S
        results = {"associate": (True, ""), "release": (True, "")}
        first = self.step("get", SERIAL, results)
        if first["result"] != "ok":
            return {"associate": (False, first["result"])}
        for cell in cells:
            self.limit_s = ANSWER_S if cell not in case["faults"] else FAULT_S
            for op, what, check in table.get(cell, ()):
                if results.get(cell, (True,))[0]:
                    results[cell] = judge(self.step(op, what, results), check)
        return results

    def step(self, op, what, results):
        """The answer line of one operation."""
        mechanism = ASSOCIATIONS[self.case["association"]][1]
        secrets = {"lls": {"GRIDWARD_PASSWORD": PASSWORD}, "hls5": {"GRIDWARD_KEY": EK, "GRIDWARD_AUTH_KEY": AK}}
        program = Program(self.command(op, what), env={
            **os.environ, "GRIDWARD_LOG": "info", **secrets.get(mechanism, {})})
        status = program.wait(CLIENT_S)
        if status is None:
            results["bound"] = (False, f"stopped after {CLIENT_S} s or {LARGEST >> 20} MiB of output")
        if b"release deviates" in program.err:
            results["release"] = (False, re.sub(r".*(the meter's release)", r"\1", program.last_words()))
        try:
            answer = json.loads(bytes(program.out))
        except ValueError:
            return {"op": op, "result": f"no JSON, exit {status}: {program.last_words()}"}
        if isinstance(answer, dict) and "error" in answer:
            return {"op": op, "result": answer["error"]["reason"]}
        if status != 0:
            return {"op": op, "result": f"exit {status}: {json.dumps(answer)[:200]}"}
        return {"op": op, "result": "ok", **told(op, answer)}

    def command(self, op, what):
        names, _, argument = what.partition("=")
        objects = [re.sub("^([0-9]+):", r"\1/", name) for name in names.split(",")]
        url = f"tcp://127.0.0.1:{TAP_PORT}"
        if self.case["framing"] == "hdlc":
            url = f"hdlc+{url}"
        if names == OBJECTS:
            words = ["objects", url]
        elif op in ("set", "act"):
            words = ["write" if op == "set" else "invoke", url, *objects, f"hex:{argument}"]
        else:
            words = ["read", url, *objects]
            if names == PROFILE:
                words = ["read", url, objects[0].removesuffix(":2"), "--profile"]
            if op == "range":
                first, _, last = argument.partition("..")
                words += ["--from", first, "--to", last]
            elif op == "entries":
                words += ["--entries", argument]
        sap, mechanism, protection = ASSOCIATIONS[self.case["association"]]
        words += ["--json", "--client", sap, "--security", mechanism, "--timeout", str(self.limit_s)]
        if mechanism == "hls5":
            words += ["--protect", REQUIRE[protection], "--system-title", TITLE,
                      "--state", os.path.join(self.scratch, "state")]
        if self.case["blocks"]:
            words += ["--max-pdu", str(SHORT_PDU)]
        return [binary(), *words]


def told(op, answer):
    """What a command printed, as the fields of an answer line."""
    if op in ("set", "act"):
        return {}
    if isinstance(answer, dict):
        return {"rows": [(moment(row["0-0:1.0.0"]), row["1-0:1.8.0"]) for row in answer["rows"]]}
    if answer and "value" not in answer[0]:
        return {"objects": {f"{item['class']}:{dotted(item['obis'])}" for item in answer}}
    values = [encoded(item) for item in answer]
    return {"axdr": values[0], "values": values}


def encoded(item):
    if item["type"] == "double-long-unsigned":
        return axdr.unsigned(item["value"]).hex()
    if item["type"] == "octet-string":
        return axdr.string(bytes.fromhex(item["value"])).hex()
    return f"octets:{item['type']}"


def moment(text):
    at = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return at.year, at.month, at.day, at.hour, at.minute, at.second


def dotted(obis):
    """1-0:1.8.0 as 1.0.1.8.0.255."""
    parts = re.split("[-:.*]", obis)
    return ".".join([*parts, "255"][:6])


def key_transfer():
    """The parameter of global_key_transfer (Blue Book, class 64): structures of key and wrapped octets."""
    return b"\x01\x03" + b"".join(
        b"\x02\x02\x16" + bytes([kind]) + axdr.string(bytes.fromhex(wrapped)) for kind, wrapped in enumerate(WRAPPED))
