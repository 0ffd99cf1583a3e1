#!/usr/bin/env python3
"""The simulator of PyPI pydlms-client 0.1.0 with the objects that every server here has (see README.md)."""
import argparse
import datetime
import json
import threading

from driver import OUT, date_time
from pydlms.cosem.data import DlmsData
from pydlms.obis import ObisCode
from pydlms.security.hls import Mechanism
from pydlms.security.suites import SecurityPolicy
from pydlms.simulator import ClientProfile, MeterSimulator, serve

D = DlmsData
POLICY = {"auth": SecurityPolicy.AUTHENTICATED, "enc": SecurityPolicy.ENCRYPTED}
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def name(text):
    return D.octet_string(ObisCode.parse(text).to_bytes())


def column(class_id, obis, attribute):
    return D.structure([D.uint16(class_id), name(obis), D.int8(attribute), D.uint16(0)])


def main():
    parser = argparse.ArgumentParser()
    for option, default in {
        "framing": "wrapper", "password": "12345678", "security": "auth-enc", "title": "5059440000000001", "serial": "STRANGER00000001",
        "ek": "000102030405060708090a0b0c0d0e0f", "ak": "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
    }.items():
        parser.add_argument("--" + option, default=default)
    for option, default in {"port": 4059, "energy": 1234567, "rows": 96, "first": 1000, "pdu": 1024}.items():
        parser.add_argument("--" + option, type=int, default=default)
    o = parser.parse_args()

    meter = MeterSimulator(system_title=bytes.fromhex(o.title), encryption_key=bytes.fromhex(o.ek),
                           authentication_key=bytes.fromhex(o.ak), max_pdu=o.pdu)
    meter.clients = {
        16: ClientProfile(),
        2: ClientProfile(Mechanism(1), o.password.encode()),
        1: ClientProfile(Mechanism(5), ciphered=True),
    }
    meter.security.policy = POLICY.get(o.security, SecurityPolicy.AUTHENTICATED_ENCRYPTED)
    meter.add_object(1, "0.0.42.0.0.255", {2: D.octet_string(o.serial.encode())})
    meter.add_object(1, "0.0.96.1.0.255", {2: D.octet_string(o.serial.encode())})
    meter.add_object(1, "0.0.96.13.0.255", {2: D.octet_string(b"")})
    meter.add_object(3, "1.0.1.8.0.255", {2: D.uint32(o.energy), 3: D.structure([D.int8(0), D.enum(30)])})
    meter.add_object(8, "0.0.1.0.0.255", {2: D.octet_string(date_time(START))})
    rows = [D.structure([D.octet_string(date_time(START + datetime.timedelta(minutes=15 * i))), D.uint32(o.first + i)])
            for i in range(o.rows)]
    meter.add_object(7, "1.0.99.1.0.255", {
        2: D.array(rows),
        3: D.array([column(8, "0.0.1.0.0.255", 2), column(3, "1.0.1.8.0.255", 2)]),
        4: D.uint32(900), 7: D.uint32(o.rows), 8: D.uint32(o.rows),
    }, version=1)

    def reset(simulator, _parameters):
        simulator.objects[(3, ObisCode.parse("1.0.1.8.0.255"))][2] = D.uint32(0)

    def show(simulator, text):
        simulator.objects[(1, ObisCode.parse("0.0.96.13.0.255"))][2] = text

    meter.add_method(3, "1.0.1.8.0.255", 1, reset)
    meter.add_method(1, "0.0.96.13.0.255", 1, show)
    serve(meter, "127.0.0.1", o.port, hdlc=o.framing == "hdlc")
    print(json.dumps({"event": "listening", "port": o.port}), file=OUT, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
