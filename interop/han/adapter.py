#!/usr/bin/env python3
"""A simulated RAVEn adapter on a pseudo terminal: it answers what reads, counts every
command that comes, and now and then tells the power by itself, as adapters do.

    adapter.py LINK --report FILE [--lost]
"""
import argparse
import asyncio
import collections
import json
import os
import pty
import re
import signal
import tty

METER = "0xd8d5b90000001234"
ADAPTER = "0xd8d5b90000005678"
TIME = 0x2FA21A80


def fragment(name, **fields):
    body = "".join(f"  <{key}>{value}</{key}>\r\n" for key, value in fields.items())
    return f"<{name}>\r\n{body}</{name}>\r\n".encode("windows-1252")


class Adapter:
    def __init__(self, descriptor, options):
        self.descriptor, self.options = descriptor, options
        self.buffer = b""
        self.commands = collections.Counter()

    def read(self):
        self.buffer = (self.buffer + os.read(self.descriptor, 4096))[-65536:]
        while found := re.search(rb"<Command>(.*?)</Command>\s*", self.buffer, re.S):
            self.buffer = self.buffer[found.end():]
            name = re.search(rb"<Name>\s*(\w+)\s*</Name>", found[1])
            name = name[1].decode() if name else "?"
            self.commands[name] += 1
            self.answer(name)

    def tell(self, name, **fields):
        os.write(self.descriptor, fragment(name, **fields))

    def demand(self):
        # An adapter that has lost its meter tells zeros without a time.
        lost = self.options.lost
        self.tell("InstantaneousDemand", DeviceMacId=ADAPTER, MeterMacId=METER,
                  TimeStamp="0x00000000" if lost else f"{TIME:#010x}", Demand="0x000000" if lost else "0xfffffa24",
                  Multiplier="0x00000001", Divisor="0x000003e8", DigitsRight="0x03", DigitsLeft="0x06",
                  SuppressLeadingZero="Y")

    def answer(self, name):
        lost = self.options.lost
        both = dict(DeviceMacId=ADAPTER, MeterMacId=METER)
        if name == "get_instantaneous_demand":
            self.demand()
        elif name == "get_current_summation_delivered":
            self.tell("CurrentSummationDelivered", **both, TimeStamp="0x00000000" if lost else f"{TIME:#010x}",
                      SummationDelivered="0x0000000000000000" if lost else "0x000000000012d687",
                      SummationReceived="0x0000000000000000" if lost else "0x0000000000001068",
                      Multiplier="0x00000001", Divisor="0x000003e8", DigitsRight="0x03", DigitsLeft="0x06",
                      SuppressLeadingZero="Y")
        elif name == "get_meter_list":
            self.tell("MeterList", DeviceMacId=ADAPTER, MeterMacId=METER)
        elif name == "get_meter_info":
            self.tell("MeterInfo", **both, MeterType="electric", NickName="", Account="", Auth="", Host="", Enabled="Y")
        elif name == "get_network_info":
            self.tell("NetworkInfo", DeviceMacId=ADAPTER, CoordMacId=METER, Status="Connected", Description="",
                      StatusCode="", ExtPanId=METER, Channel=15, ShortAddr="0xe1aa", LinkStrength="0x64")
        elif name == "get_device_info":
            self.tell("DeviceInfo", DeviceMacId=ADAPTER, InstallCode="0x83FED3407A932B70", LinkKey="0x" + "0" * 32,
                      FWVersion="2.0.0 (7400)", HWVersion="2.7.3", ImageType="0x1301", Manufacturer="Gridward",
                      ModelId="Z105-2-EMU2-LEDD_JM", DateCode="2026112100000000")
        elif name == "get_time":
            self.tell("TimeCluster", **both, UTCTime=f"{TIME:#010x}", LocalTime=f"{TIME:#010x}")
        elif name == "get_connection_status":
            self.tell("ConnectionStatus", **both, Status="Connected", Description="", ExtPanId=METER, Channel=15,
                      ShortAddr="0xe1aa", LinkStrength="0x64")
        else:
            self.tell("Error", Text="Unknown command")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("link")
    parser.add_argument("--report", required=True)
    parser.add_argument("--lost", action="store_true", help="the adapter has lost its meter")
    options = parser.parse_args()
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    adapter = Adapter(master, options)
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    loop.add_reader(master, adapter.read)
    os.symlink(os.ttyname(slave), options.link)
    print("ready", flush=True)
    await stop
    with open(options.report, "w", encoding="utf-8") as file:
        json.dump({"commands": adapter.commands}, file)


asyncio.run(main())
