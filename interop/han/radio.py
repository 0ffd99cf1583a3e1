#!/usr/bin/env python3
"""A simulated ZigBee radio processor on a pseudo terminal, with a meter behind it.

ASH is what bellows has of it, EZSP is made and taken apart by bellows' schemas, device
objects and clusters by zigpy's; what they say to each other is decided here. At the end
it writes what it has counted, and every message as a capture for Wireshark.

    radio.py LINK --report FILE [--pcap FILE] [--version 13] [--outside] [--wants-keys]
             [--lose PERCENT] [--seed N] [--noise ONE_OCTET_IN] [--meter-node ADDRESS]
"""
import argparse
import asyncio
import collections
import importlib
import json
import os
import pty
import random
import signal
import struct
import time
import tty

import bellows.ash as ash
import bellows.types as t
import zigpy.types as zt
import zigpy.zdo.types as zdo
from zigpy.zcl import foundation as zcl
from zigpy.zcl.clusters.smartenergy import Metering

METER = t.EUI64.convert("00:0d:6f:00:00:00:00:01")
TRUST_CENTER = t.EUI64.convert("00:0d:6f:00:00:00:00:ff")
PROFILE_SE = 0x0109
METER_ENDPOINT = 2
IN_PROGRESS, NOT_JOINED, NETWORK_UP = 0xBA, 0x93, 0x90
NOT_AUTHORIZED = zcl.Status(0x7E)

A = Metering.AttributeDefs
VALUES = {
    A.current_summ_delivered: 123456789,
    A.current_summ_received: 4200,
    A.instantaneous_demand: -1500,
    A.reading_snapshot_time: 800_000_000,
    A.status: 0x02,
    A.unit_of_measure: 0,
    A.multiplier: 1,
    A.divisor: 1000,
    A.summation_formatting: 0x2B,
    A.metering_device_type: 0,
    A.meter_serial_number: b"GWD0001",
}


class Line(ash.AshProtocol):
    """The processor's side of ASH."""

    def rst_frame_received(self, frame):
        super().rst_frame_received(frame)
        # A processor that restarts has forgotten what it was about to send.
        self._cancel_pending_data_frames(ash.NcpFailure(code=t.NcpResetCode.RESET_SOFTWARE))
        while not self._ezsp_protocol.outgoing.empty():
            self._ezsp_protocol.outgoing.get_nowait()
        self._tx_seq = self._rx_seq = 0
        self._write_frame(ash.RStackFrame(version=2, reset_code=t.NcpResetCode.RESET_SOFTWARE))


class Processor:
    """EZSP: commands answered, callbacks sent."""

    def __init__(self, options):
        self.options = options
        commands = importlib.import_module(f"bellows.ezsp.v{options.version}.commands").COMMANDS
        self.by_name = commands
        self.by_id = {value[0]: (name, value[1], value[2]) for name, value in commands.items()}
        self.joined = not options.outside
        self.wants_keys = options.wants_keys
        self.frames = collections.Counter()
        self.messages = collections.Counter()
        self.asked = self.lost = 0
        self.polls = []  # of each poll: the second it came, and whether it was answered
        self.stored = None
        self.key = None
        self.joins = 0
        self.packets = []
        self.outgoing = asyncio.Queue()
        self.line = None

    # What AshProtocol calls.
    def connection_made(self, line):
        self.line = line

    def connection_lost(self, error):
        pass

    def error_received(self, error):
        print("failed:", error, flush=True)

    def reset_received(self, code):
        pass

    def data_received(self, data):
        data = bytes(data)
        legacy = len(data) == 4 and data[1] == 0 and data[2] == 0
        if legacy:
            sequence, identifier, body = data[0], 0, data[3:]
        else:
            assert data[1] == 0 and data[2] == 1, data.hex()
            sequence, identifier, body = data[0], data[3] | data[4] << 8, data[5:]
        name, schema, _ = self.by_id[identifier]
        arguments = {}
        for field, kind in schema.items():
            if name == "addEndpoint" and field.endswith("ClusterList"):
                count = arguments["inputClusterCount" if field.startswith("input") else "outputClusterCount"]
                arguments[field] = [struct.unpack_from("<H", body, 2 * i)[0] for i in range(count)]
                body = body[2 * count:]
            else:
                arguments[field], body = kind.deserialize(body)
        assert not body, f"{name}: octets left over: {body.hex()}"
        self.frames[name] += 1
        self.command(sequence, legacy, name, arguments)

    def queue(self, sequence, control, name, values, legacy=False):
        identifier, _, schema = self.by_name[name]
        head = bytes([sequence, control, identifier]) if legacy else struct.pack("<BBBH", sequence, control, 1, identifier)
        body = b"".join((value if isinstance(value, kind) else kind(value)).serialize()
                        for kind, value in zip(schema.values(), values, strict=True))
        self.outgoing.put_nowait(head + body)

    def callback(self, name, *values):
        self.queue(0, 0x90, name, values)

    def command(self, sequence, legacy, name, a):
        def answer(*values):
            self.queue(sequence, 0x80, name, values, legacy)

        later = []
        if name == "version":
            answer(self.options.version, 2, 0x7400)
        elif name == "networkInit":
            answer(0 if self.joined else NOT_JOINED)
            if self.joined:
                later.append(("stackStatusHandler", NETWORK_UP))
        elif name == "setInitialSecurityState":
            self.key = bytes(a["state"].preconfiguredKey.serialize())
            answer(0)
        elif name == "startScan":
            answer(0)
            for pan, lets_in, quality in ((0x1A61, 1, 90), (0x1A62, 1, 200), (0x1A63, 0, 255)):
                network = t.EmberZigbeeNetwork(channel=15, panId=pan, extendedPanId=t.EUI64.convert("01:02:03:04:05:06:07:08"),
                                               allowingJoin=lets_in, stackProfile=2, nwkUpdateId=0)
                later.append(("networkFoundHandler", network, quality, -40))
            later.append(("scanCompleteHandler", 15, 0))
        elif name == "joinNetwork":
            assert a["parameters"].panId == 0x1A62, a
            assert a["parameters"].radioChannel == 15, a
            self.joined, self.joins = True, self.joins + 1
            answer(0)
            later.append(("stackStatusHandler", NETWORK_UP))
        elif name == "findAndRejoinNetwork":
            answer(0)
            later.append(("stackStatusHandler", NETWORK_UP))
        elif name == "getEui64":
            answer(t.EUI64.convert("00:0d:6f:00:00:00:22:22"))
        elif name == "getCertificate":
            answer(0, t.EmberCertificateData([0xCE] * 48))
        elif name == "generateCbkeKeys":
            answer(IN_PROGRESS)
            later.append(("generateCbkeKeysHandler", 0, t.EmberPublicKeyData([0xE1] * 22)))
        elif name == "calculateSmacs":
            assert bytes(a["partnerEphemeralPublicKey"]) == bytes([0xE2] * 22), a
            answer(IN_PROGRESS)
            later.append(("calculateSmacsHandler", 0, t.EmberSmacData([0x51] * 16), t.EmberSmacData([0x52] * 16)))
        elif name == "clearTemporaryDataMaybeStoreLinkKey":
            self.stored = bool(a["storeLinkKey"])
            self.wants_keys = self.wants_keys and not self.stored
            answer(0)
        elif name == "sendUnicast":
            answer(0, 7)
            self.unicast(a, later)
        else:
            answer(*[0] * len(self.by_name[name][2]))
        for name, *values in later:
            self.callback(name, *values)

    def unicast(self, a, later):
        aps, node, contents = a["apsFrame"], int(a["indexOrDestination"]), bytes(a["messageContents"])
        self.packet(0x2222, node, aps.destinationEndpoint, aps.sourceEndpoint, aps.profileId, aps.clusterId, contents)
        if aps.profileId == 0:
            self.messages[f"device {aps.clusterId:#06x}"] += 1
            cluster, told = self.device(node, aps.clusterId, contents)
        else:
            header, rest = zcl.ZCLHeader.deserialize(contents)
            kind = "cluster" if header.frame_control.is_cluster else "global"
            maker = "" if header.manufacturer is None else f" of {header.manufacturer:#06x}"
            self.messages[f"{aps.profileId:#06x} {kind}{maker} {int(header.command_id):#04x} to {aps.clusterId:#06x}"] += 1
            cluster, told = aps.clusterId, self.cluster(node, aps, header, rest)
        if told is None:
            return
        if aps.clusterId == Metering.cluster_id:
            self.asked += 1
            loses = random.random() * 100 < self.options.lose
            if bytes(A.instantaneous_demand.id.to_bytes(2, "little")) in contents:
                self.polls.append((time.monotonic(), not loses))
            if loses:
                self.lost += 1
                return
        self.packet(node, 0x2222, aps.sourceEndpoint, aps.destinationEndpoint, aps.profileId, cluster, told)
        back = t.EmberApsFrame(profileId=aps.profileId, clusterId=cluster, sourceEndpoint=aps.destinationEndpoint,
                               destinationEndpoint=aps.sourceEndpoint, options=t.EmberApsOption(0x0140), groupId=0, sequence=9)
        values = dict(type=0, apsFrame=back, lastHopLqi=200, lastHopRssi=-40, sender=node, bindingIndex=255,
                      addressIndex=255, messageContents=told)
        later.append(("incomingMessageHandler", *[values[field] for field in self.by_name["incomingMessageHandler"][2]]))

    def eui64(self, node):
        return METER if node == self.options.meter_node else TRUST_CENTER

    def device(self, node, cluster, contents):
        sequence, rest = contents[:1], contents[1:]
        names, kinds = zdo.CLUSTERS[zdo.ZDOCmd(cluster)]
        a = {}
        for name, kind in zip(names, kinds, strict=True):
            a[name], rest = kind.deserialize(rest)
        assert not rest, f"device object {cluster:#06x}: octets left over"
        if cluster == zdo.ZDOCmd.IEEE_addr_req:
            assert a["NWKAddrOfInterest"] == node, a
            values = [zdo.Status.SUCCESS, self.eui64(node), zt.NWK(node)]
        elif cluster == zdo.ZDOCmd.NWK_addr_req:
            good = a["IEEEAddr"] == METER
            values = [zdo.Status.SUCCESS if good else zdo.Status.DEVICE_NOT_FOUND, a["IEEEAddr"], zt.NWK(self.options.meter_node)]
        elif cluster == zdo.ZDOCmd.Match_Desc_req:
            assert a["ProfileID"] == PROFILE_SE and list(a["OutClusterList"]) == [], a
            wanted = list(a["InClusterList"])
            has = wanted == [0x0800] or (wanted == [0x0702] and node == self.options.meter_node)
            values = [zdo.Status.SUCCESS, zt.NWK(node), [1, METER_ENDPOINT] if has else []]
            values[2] = zdo.CLUSTERS[zdo.ZDOCmd.Match_Desc_rsp][1][2](values[2])
        elif cluster == zdo.ZDOCmd.Simple_Desc_req:
            # The first endpoint matches by mistake: it is no meter.
            clusters = [0x0000, 0x0702] if a["EndPoint"] == METER_ENDPOINT else [0x0000, 0x0800]
            described = zdo.SizePrefixedSimpleDescriptor(a["EndPoint"], PROFILE_SE, 0x0500, 0, clusters, [0x000A])
            values = [zdo.Status.SUCCESS, zt.NWK(node), described]
        else:
            raise AssertionError(f"unexpected request {cluster:#06x}")
        return cluster | 0x8000, sequence + b"".join(value.serialize() for value in values)

    def cluster(self, node, aps, header, rest):
        if aps.clusterId == 0x0800 and header.frame_control.is_cluster:
            # Suite, times and certificate; ephemeral key; code.
            head = zcl.ZCLHeader.cluster(header.tsn, header.command_id, direction=zcl.Direction.Server_to_Client)
            certificate = bytearray([0xCE] * 48)
            certificate[22:30] = self.eui64(node).serialize()[::-1]
            lengths = {0: 4 + 48, 1: 22, 2: 16}
            assert len(rest) == lengths[header.command_id], rest.hex()
            body = {0: bytes([1, 0, 5, 5]) + bytes(certificate), 1: bytes([0xE2] * 22), 2: bytes([0x52] * 16)}
            return head.serialize() + body[header.command_id]
        encrypted = bool(aps.options & t.EmberApsOption.APS_OPTION_ENCRYPTION)
        if header.command_id != zcl.GeneralCommand.Read_Attributes or header.frame_control.is_cluster:
            return None
        if aps.clusterId == Metering.cluster_id and (self.wants_keys or not encrypted):
            head = zcl.ZCLHeader.general(header.tsn, zcl.GeneralCommand.Default_Response, direction=zcl.Direction.Server_to_Client)
            return head.serialize() + bytes([int(header.command_id), NOT_AUTHORIZED])
        request, left = zcl.GENERAL_COMMANDS[zcl.GeneralCommand.Read_Attributes].schema.deserialize(rest)
        assert not left
        known = {definition.id: (definition, value) for definition, value in VALUES.items()}
        records = []
        for identifier in request.attribute_ids:
            if aps.clusterId == Metering.cluster_id and identifier in known:
                definition, value = known[identifier]
                records.append(zcl.ReadAttributeRecord(identifier, zcl.Status.SUCCESS,
                                                       zcl.TypeValue(definition.zcl_type, definition.type(value))))
            else:
                records.append(zcl.ReadAttributeRecord(identifier, zcl.Status.UNSUPPORTED_ATTRIBUTE))
        head = zcl.ZCLHeader.general(header.tsn, zcl.GeneralCommand.Read_Attributes_rsp, direction=zcl.Direction.Server_to_Client)
        body = zcl.GENERAL_COMMANDS[zcl.GeneralCommand.Read_Attributes_rsp].schema(status_records=records)
        told = head.serialize() + body.serialize()
        # What goes into one frame under both keys.
        assert len(told) <= 73, len(told)
        return told

    def packet(self, source, destination, to, own, profile, cluster, contents):
        """Keeps a message in the frames it would have on the air, less their ciphering."""
        number = len(self.packets) & 0xFF
        mac = struct.pack("<HBHHH", 0x8861, number, 0x1A62, destination, source)
        network = struct.pack("<HHHBB", 0x0008, destination, source, 30, number)
        application = struct.pack("<BBHHBB", 0x00, to, cluster, profile, own, number)
        self.packets.append(mac + network + application + contents)

    def report(self):
        with open(self.options.report, "w", encoding="utf-8") as file:
            json.dump({"frames": self.frames, "messages": self.messages, "asked": self.asked, "lost": self.lost, "polls": self.polls,
                       "stored": self.stored, "key": self.key and self.key.hex(), "joins": self.joins}, file)
        if self.options.pcap:
            with open(self.options.pcap, "wb") as file:
                file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 230))
                for packet in self.packets:
                    file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


class Writer:
    """The pseudo terminal as a transport; damages octets where that is asked for."""

    def __init__(self, descriptor, noise):
        self.descriptor, self.noise = descriptor, noise

    def write(self, data):
        os.write(self.descriptor, damaged(data, self.noise))

    def is_closing(self):
        return False

    def close(self):
        pass


def damaged(data, noise):
    if not noise:
        return bytes(data)
    return bytes(octet ^ (1 << random.randrange(8)) if random.randrange(noise) == 0 else octet for octet in data)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("link")
    parser.add_argument("--report", required=True)
    parser.add_argument("--pcap")
    parser.add_argument("--version", type=int, default=13)
    parser.add_argument("--outside", action="store_true")
    parser.add_argument("--wants-keys", action="store_true")
    parser.add_argument("--lose", type=float, default=0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--noise", type=int, default=0)
    parser.add_argument("--meter-node", type=lambda text: int(text, 0), default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    processor = Processor(options)
    line = Line(processor)
    line.connection_made(Writer(master, options.noise))
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    loop.add_reader(master, lambda: line.data_received(damaged(os.read(master, 4096), options.noise)))

    async def send():
        while True:
            data = await processor.outgoing.get()
            try:
                await line.send_data(data)
            except Exception as error:  # The host restarts the processor when it wants to.
                print("not sent:", repr(error), flush=True)

    sending = asyncio.create_task(send())
    os.symlink(os.ttyname(slave), options.link)
    print("ready", flush=True)
    await stop
    sending.cancel()
    processor.report()


asyncio.run(main())
