#!/usr/bin/env python3
"""PyPI pydlms-client 0.1.0 as a client (see driver.py)."""
import driver
from pydlms.apdu.xdlms import entry_descriptor, range_descriptor
from pydlms.client import DlmsClient
from pydlms.cosem.data import DlmsData, decode_data, encode_data
from pydlms.security.context import SecurityContext
from pydlms.security.hls import Mechanism
from pydlms.security.suites import SecurityPolicy

MECHANISM = {"none": 0, "lls": 1, "hls5": 5}
POLICY = {
    "auth": SecurityPolicy.AUTHENTICATED,
    "enc": SecurityPolicy.ENCRYPTED,
    "auth-enc": SecurityPolicy.AUTHENTICATED_ENCRYPTED,
}


def decoded(octets):
    return decode_data(octets)[0] if octets else None


class Pydlms(driver.Client):
    meter = None

    def associate(self):
        o = self.options
        settings = {"mechanism": Mechanism(MECHANISM[o.auth]), "max_receive_pdu_size": o.pdu}
        if o.auth == "lls":
            settings["password"] = o.password
        if o.auth == "hls5" or o.security != "none":
            settings["security"] = SecurityContext(
                bytes.fromhex(o.ek), bytes.fromhex(o.ak), suite=0,
                policy=POLICY.get(o.security, SecurityPolicy(0)), broadcast_key=bytes.fromhex(o.broadcast_key),
                client_system_title=bytes.fromhex(o.title), invocation_counter=o.ic)
        self.meter = DlmsClient.tcp(o.host, o.port, client_sap=o.client_sap, server_logical=o.server_sap,
                                    hdlc=o.framing == "hdlc", timeout=o.timeout_ms / 1000, **settings)
        self.meter.connect()

    def get(self, target, access=None):
        return encode_data(self.meter.get(target.obis, target.class_id, target.id, access)).hex()

    def set(self, target, value):
        self.meter.set(target.obis, target.class_id, target.id, decoded(value))

    def all(self, target, value):
        self.meter.broadcast_set(target.obis, target.class_id, target.id, decoded(value))

    def act(self, target, value):
        back = self.meter.action(target.obis, target.class_id, target.id, decoded(value))
        return "" if back is None else encode_data(back).hex()

    def list(self, targets):
        values = self.meter.get_many([(t.obis, t.class_id, t.id) for t in targets])
        return [encode_data(v).hex() if isinstance(v, DlmsData) else str(v) for v in values]

    def range(self, target, first, last):
        return self.get(target, range_descriptor(*(DlmsData.octet_string(driver.date_time(t)) for t in (first, last))))

    def entries(self, target, first, last):
        return self.get(target, entry_descriptor(first, last))

    def release(self):
        self.meter.close()
        self.meter = None

    def close(self):
        if self.meter:
            self.meter.link.close()


if __name__ == "__main__":
    driver.main(Pydlms)
