#!/usr/bin/env python3
"""aioraven, the client of Home Assistant, reads an adapter; prints what it was told."""
import asyncio
import json
import sys

from aioraven.serial import RAVEnSerialDevice


async def main(path):
    async with RAVEnSerialDevice(path) as device:
        await device.synchronize()
        meters = await device.get_meter_list()
        meter = meters.meter_mac_ids[0]
        demand = await device.get_instantaneous_demand(meter=meter)
        total = await device.get_current_summation_delivered(meter=meter)
        network = await device.get_network_info()
        print(json.dumps({"meter": meter.hex(), "demand": str(demand.demand), "delivered": str(total.summation_delivered),
                          "received": str(total.summation_received), "time": str(demand.time_stamp),
                          "link": network.link_strength}))


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
