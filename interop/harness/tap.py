"""A TCP relay between two programs that keeps what passed, within bounds."""
import selectors
import socket
import threading

KEPT = 1 << 20  # octets kept of a conversation
ALLOWED = 16 << 20  # octets that may pass before the relay closes both ends

CIPHERED = {*range(0xC8, 0xD0), *range(0xD0, 0xD8), 0x21, 0x28}
GENERAL = {0xDB, 0xDC}
BROADCAST = 0x40  # the bit of a security control octet that says under which key
ACSE = {0x60, 0x61, 0x62, 0x63}


class Tap:
    """Listens on `port` and relays to `onward`; `pieces` is [(connection, from_client, octets)]."""

    def __init__(self, port, onward):
        self.onward = onward
        self.pieces = []
        self.kept = self.passed = self.connections = 0
        self.door = socket.create_server(("127.0.0.1", port), backlog=16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._relay, args=(client, self.connections), daemon=True).start()

    def _relay(self, client, number):
        try:
            server = socket.create_connection(("127.0.0.1", self.onward), timeout=5)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        watch = selectors.DefaultSelector()
        watch.register(client, selectors.EVENT_READ, server)
        watch.register(server, selectors.EVENT_READ, client)
        try:
            while self.passed < ALLOWED:
                for key, _ in watch.select():
                    octets = key.fileobj.recv(65536)
                    if not octets:
                        return
                    self.passed += len(octets)
                    if self.kept < KEPT:
                        self.kept += len(octets)
                        self.pieces.append((number, key.fileobj is client, octets))
                    key.data.sendall(octets)
        except OSError:
            return
        finally:
            for end in (client, server):
                end.close()

    def close(self):
        self.door.shutdown(socket.SHUT_RDWR)  # or the accepting thread keeps the port
        self.door.close()

    def tail(self, count=6, width=48):
        """The last pieces as text, for whoever looks for the fault."""
        return [f"{'client' if sent else 'server'} {octets[:width].hex()}{'...' if len(octets) > width else ''}"
                for _, sent, octets in self.pieces[-count:]]


def apdus(pieces, framing):
    """(from_client, APDU) for every APDU that passed whole."""
    for connection in sorted({number for number, _, _ in pieces}):
        for side in (True, False):
            stream = b"".join(octets for number, sent, octets in pieces if (number, sent) == (connection, side))
            for apdu in (of_wrapper(stream) if framing == "wrapper" else of_hdlc(stream)):
                if apdu:
                    yield side, apdu


def of_wrapper(stream):
    while len(stream) >= 8 and stream[:2] == b"\x00\x01":
        size = 8 + int.from_bytes(stream[6:8], "big")
        if len(stream) >= size:
            yield stream[8:size]
        stream = stream[size:]


def of_hdlc(stream):
    """The information of I frames, segments joined, without the LLC octets; check sums are left alone."""
    joined = b""
    at = stream.find(0x7E)
    while 0 <= at and at + 3 < len(stream):
        if stream[at + 1] == 0x7E:
            at += 1
            continue
        form = int.from_bytes(stream[at + 1:at + 3], "big")
        frame = stream[at + 1:at + 1 + (form & 0x7FF)]
        at = stream.find(0x7E, at + 1 + max(len(frame), 1))
        start = 2
        for _address in range(2):
            while start < len(frame) and not frame[start] & 1:
                start += 1
            start += 1
        if start >= len(frame) or frame[start] & 1:
            continue
        joined += frame[start + 3:-2]
        if not form & 0x800:
            if joined[:1] == b"\xe6":
                yield joined[3:]
            joined = b""


def protections(pieces, framing):
    """The security control octets of ciphered service APDUs, those of AARQ and AARE not among them."""
    found = set()
    for _, apdu in apdus(pieces, framing):
        at = 1
        if apdu[0] in GENERAL:
            at += 1 + apdu[1] if len(apdu) > 1 else 1
        elif apdu[0] not in CIPHERED:
            continue
        if len(apdu) > at:
            at += 1 + (apdu[at] & 0x7F if apdu[at] >= 0x80 else 0)
        if len(apdu) > at:
            found.add(apdu[at])
    return found


def tags(pieces, framing):
    """The first octet of every APDU, as {(from_client, tag)}."""
    return {(side, apdu[0]) for side, apdu in apdus(pieces, framing)}


def longest(pieces, framing):
    """Octets of the longest APDU of a service: those that make and release associations left out."""
    return max((len(apdu) for _, apdu in apdus(pieces, framing) if apdu[0] not in ACSE), default=0)


def listed(pieces, framing):
    """The most attributes that one get-request-with-list in clear (C0 03) asked for."""
    return max((apdu[3] for side, apdu in apdus(pieces, framing) if side and apdu[:2] == b"\xc0\x03" and apdu[3:]),
               default=0)
