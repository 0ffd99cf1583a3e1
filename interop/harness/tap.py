"""A TCP relay between two programs that keeps what passed, within bounds."""
import selectors
import socket
import threading

KEPT = 1 << 20  # octets kept of a conversation
ALLOWED = 16 << 20  # octets that may pass before the relay closes both ends

CIPHERED = {*range(0xC8, 0xD0), *range(0xD0, 0xD8), 0x21, 0x28}
GENERAL = {0xDB, 0xDC}


class Tap:
    """Listens on `port` and relays to `onward`; `pieces` is [(from_client, octets)]."""

    def __init__(self, port, onward):
        self.onward = onward
        self.pieces = []
        self.kept = self.passed = 0
        self.door = socket.create_server(("127.0.0.1", port), backlog=16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
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
                        self.pieces.append((key.fileobj is client, octets))
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
                for sent, octets in self.pieces[-count:]]


def apdus(pieces, framing):
    """(from_client, the first octets of an APDU) for every APDU that passed."""
    for side in (True, False):
        stream = b"".join(octets for sent, octets in pieces if sent is side)
        if framing == "wrapper":
            while len(stream) >= 8 and stream[:2] == b"\x00\x01":
                size = 8 + int.from_bytes(stream[6:8], "big")
                yield side, stream[8:size]
                stream = stream[size:]
        else:
            llc = b"\xe6\xe6\x00" if side else b"\xe6\xe7\x00"
            for start in stream.split(llc)[1:]:
                yield side, start[:64]


def protections(pieces, framing):
    """The security control octets of ciphered service APDUs, those of AARQ and AARE not among them."""
    found = set()
    for _, apdu in apdus(pieces, framing):
        if not apdu:
            continue
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
    return {(side, apdu[0]) for side, apdu in apdus(pieces, framing) if apdu}


def blocks_seen(pieces, framing):
    """Whether a get-response-with-datablock passed in clear (C4 02)."""
    return any(apdu[:2] == b"\xc4\x02" for side, apdu in apdus(pieces, framing) if not side)
