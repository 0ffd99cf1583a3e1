#!/usr/bin/env python3
"""PyPI gurux-dlms 1.0.203 as a client (see driver.py)."""
import socket

import driver
from gurux_dlms import GXByteBuffer, GXDateTime, GXDLMSGateway, GXReplyData
from gurux_dlms.enums import Authentication, DataType, InterfaceType, ObjectType, Security, ServiceClass
from gurux_dlms.objects import GXDLMSImageTransfer, GXDLMSProfileGeneric
from gurux_dlms.secure import GXDLMSSecureClient

AUTHENTICATION = {"none": Authentication.NONE, "lls": Authentication.LOW, "hls5": Authentication.HIGH_GMAC}
SECURITY = {
    "none": Security.NONE, "auth": Security.AUTHENTICATION, "enc": Security.ENCRYPTION,
    "auth-enc": Security.AUTHENTICATION_ENCRYPTION,
}
LARGEST = 1 << 20  # octets of one answer


class Gurux(driver.Client):
    line = None

    def associate(self):
        o = self.options
        self.hdlc = o.framing == "hdlc"
        self.meter = GXDLMSSecureClient(
            True, o.client_sap, o.server_sap, AUTHENTICATION[o.auth], o.password if o.auth == "lls" else None,
            InterfaceType.HDLC if self.hdlc else InterfaceType.WRAPPER)
        self.meter.maxReceivePDUSize = o.pdu
        if o.gateway:
            self.meter.gateway = GXDLMSGateway()
            self.meter.gateway.physicalDeviceAddress = bytearray(o.gateway.encode())
        cipher = self.meter.ciphering
        cipher.systemTitle = bytearray.fromhex(o.title)
        if o.auth == "hls5" or o.security != "none":
            cipher.blockCipherKey = bytearray.fromhex(o.ek)
            cipher.authenticationKey = bytearray.fromhex(o.ak)
            cipher.invocationCounter = o.ic
            cipher.security = SECURITY[o.security]
        self.line = socket.create_connection((o.host, o.port), timeout=o.timeout_ms / 1000)
        if self.hdlc:
            self.meter.parseUAResponse(self.exchange([self.meter.snrmRequest()]).data)
        self.meter.parseAareResponse(self.exchange(self.meter.aarqRequest()).data)
        if o.auth == "hls5":
            answer = self.exchange(self.meter.getApplicationAssociationRequest())
            self.meter.parseApplicationAssociationResponse(answer.data)

    def exchange(self, frames):
        reply = GXReplyData()
        for frame in frames:
            reply.clear()
            self.send(frame, reply)
            while reply.isMoreData():
                self.send(None if reply.isStreaming() else self.meter.receiverReady(reply.moreData), reply)
                if reply.data.size > LARGEST:
                    raise OverflowError(f"the answer is longer than {LARGEST} octets")
        if reply.error:
            raise ValueError(reply.getErrorMessage())
        return reply

    def send(self, frame, reply):
        if frame is not None:
            self.line.sendall(bytes(frame))
        received = GXByteBuffer()
        notify = GXReplyData()
        received.set(self.next_frame())
        while not self.meter.getData(received, reply, notify):
            received.set(self.next_frame())

    def octets(self, number):
        got = b""
        while len(got) < number:
            more = self.line.recv(number - len(got))
            if not more:
                raise ConnectionError("the server closed the connection")
            got += more
        return got

    def next_frame(self):
        if not self.hdlc:
            header = self.octets(8)
            return bytearray(header + self.octets(int.from_bytes(header[6:8], "big")))
        first = self.octets(2)
        while first == b"\x7e\x7e":
            first = b"\x7e" + self.octets(1)
        second = self.octets(1)
        return bytearray(first + second + self.octets(((first[1] & 7) << 8 | second[0]) - 1))

    @staticmethod
    def value(reply):
        return bytes(reply.data.array()).hex()

    def get(self, target):
        item = self.meter.createObject(ObjectType(target.class_id))
        item.logicalName = target.obis
        return self.value(self.exchange(self.meter.read(item, target.id)))

    def set(self, target, value):
        # Its public call encodes an object's own attributes; the one below it takes any value as encoded.
        write = getattr(self.meter, "_GXDLMSClient__write")
        self.exchange(write(target.obis, bytearray(value), DataType.STRUCTURE, ObjectType(target.class_id), target.id))

    def all(self, target, value):
        if self.hdlc:
            raise driver.Unsupported("UI frames to all stations")
        write = getattr(self.meter, "_GXDLMSClient__write")
        self.meter.serverAddress, self.meter.serviceClass = 0x7F, ServiceClass.UN_CONFIRMED
        for frame in write(target.obis, bytearray(value), DataType.STRUCTURE, ObjectType(target.class_id), target.id):
            self.line.sendall(bytes(frame))
        self.meter.serverAddress, self.meter.serviceClass = self.options.server_sap, ServiceClass.CONFIRMED

    def act(self, target, value):
        method = getattr(self.meter, "_GXDLMSClient__method")
        reply = self.exchange(method(target.obis, ObjectType(target.class_id), target.id, bytearray(value),
                                     DataType.STRUCTURE))
        return self.value(reply)

    def image(self, path, name):
        """Brings an image as the library's object for it does."""
        with open(path, "rb") as file:
            image = bytearray(file.read())
        item = GXDLMSImageTransfer("0.0.44.0.0.255")
        self.meter.updateValue(item, 2, self.exchange(self.meter.read(item, 2)).value)
        self.exchange(item.imageTransferInitiate(self.meter, name, len(image)))
        for block in item.imageBlockTransfer(self.meter, image, None):
            self.exchange(block)
        self.exchange(item.imageVerify(self.meter))
        self.exchange(item.imageActivate(self.meter))

    def list(self, targets):
        wanted = []
        for target in targets:
            item = self.meter.createObject(ObjectType(target.class_id))
            item.logicalName = target.obis
            wanted.append((item, target.id))
        values = []
        for frames in self.meter.readList(wanted):
            reply = self.exchange(frames)
            values += reply.value if isinstance(reply.value, list) else [reply.value]
        return ["octets:" + value.hex() if isinstance(value, (bytes, bytearray)) else value for value in values]

    def range(self, target, first, last):
        profile = GXDLMSProfileGeneric(target.obis)
        return self.value(self.exchange(self.meter.readRowsByRange(profile, GXDateTime(first), GXDateTime(last))))

    def entries(self, target, first, last):
        profile = GXDLMSProfileGeneric(target.obis)
        return self.value(self.exchange(self.meter.readRowsByEntry(profile, first, last - first + 1)))

    def release(self):
        if self.hdlc:
            self.exchange([self.meter.disconnectRequest(True)])
        else:
            self.exchange(self.meter.releaseRequest())

    def close(self):
        if self.line:
            self.line.close()


if __name__ == "__main__":
    driver.main(Gurux)
