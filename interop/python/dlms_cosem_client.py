#!/usr/bin/env python3
"""PyPI dlms-cosem 25.1.0 as a client (see driver.py)."""
import driver
from dlms_cosem import cosem, enumerations
from dlms_cosem.client import DlmsClient
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import EntryDescriptor, RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication, LowLevelSecurityAuthentication, NoSecurityAuthentication,
)


def attribute(target):
    return cosem.CosemAttribute(enumerations.CosemInterface(target.class_id), cosem.Obis.from_string(target.obis),
                                target.id)


class DlmsCosem(driver.Client):
    meter = None

    def associate(self):
        o = self.options
        keys = {}
        if o.auth == "hls5" or o.security != "none":
            if o.security != "auth-enc":
                raise driver.Unsupported("protects everything with authentication and encryption or nothing")
            keys = {"encryption_key": bytes.fromhex(o.ek), "authentication_key": bytes.fromhex(o.ak),
                    "client_initial_invocation_counter": o.ic}
        authentication = {
            "none": NoSecurityAuthentication,
            "lls": lambda: LowLevelSecurityAuthentication(o.password.encode()),
            "hls5": HighLevelSecurityGmacAuthentication,
        }[o.auth]()
        line = BlockingTcpIO(o.host, o.port, timeout=o.timeout_ms / 1000)
        link = (HdlcTransport if o.framing == "hdlc" else TcpTransport)(o.client_sap, o.server_sap, line)
        meter = DlmsClient(link, authentication=authentication, client_system_title=bytes.fromhex(o.title),
                           max_pdu_size=o.pdu, block_transfer=True, timeout=o.timeout_ms / 1000, **keys)
        meter.connect()
        self.meter = meter
        meter.associate()

    def get(self, target, access=None):
        return self.meter.get(attribute(target), access).hex()

    def set(self, target, value):
        response = self.meter.set(attribute(target), value)
        if response.result != enumerations.DataAccessResult.SUCCESS:
            raise ValueError(response.result.name)

    def act(self, target, value):
        method = cosem.CosemMethod(enumerations.CosemInterface(target.class_id), cosem.Obis.from_string(target.obis),
                                   target.id)
        return (self.meter.action(method, value) or b"").hex()

    def list(self, targets):
        wanted = [cosem.CosemAttributeWithSelection(attribute(t), None) for t in targets]
        return [result.to_bytes().hex() for result in self.meter.get_many(wanted).response_data]

    def range(self, target, first, last):
        clock = CaptureObject(attribute(driver.Target(8, "0.0.1.0.0.255", 2)), 0)
        return self.get(target, RangeDescriptor(clock, first, last))

    def entries(self, target, first, last):
        access = EntryDescriptor(first, last)
        access.to_bytes()
        return self.get(target, access)

    def release(self):
        self.meter.release_association()
        self.meter.disconnect()
        self.meter = None

    def close(self):
        if self.meter:
            self.meter.transport.io.disconnect()


if __name__ == "__main__":
    driver.main(DlmsCosem)
