"""Enough A-XDR to compare values: the Data type of the Green Book, decoded with its tags kept."""

INTEGERS = {0x05: 4, 0x06: 4, 0x0D: 1, 0x0F: 1, 0x10: 2, 0x11: 1, 0x12: 2, 0x14: 8, 0x15: 8, 0x16: 1}
SIGNED = {0x05, 0x0F, 0x10, 0x14}
STRINGS = {0x09, 0x0A, 0x0C}
TIMES = {0x19: 12, 0x1A: 5, 0x1B: 4}


class Malformed(ValueError):
    """Not one whole value."""


def decode(octets):
    """Returns (tag, value) of one value that takes all the octets."""
    value, end = _value(octets, 0, 0)
    if end != len(octets):
        raise Malformed(f"{len(octets) - end} octets too many")
    return value


def _value(octets, at, depth):
    if depth > 8:
        raise Malformed("nested too deep")
    tag = _octet(octets, at)
    at += 1
    if tag == 0x00:
        return (tag, None), at
    if tag in (0x01, 0x02):
        count, at = _length(octets, at)
        items = []
        for _ in range(count):
            item, at = _value(octets, at, depth + 1)
            items.append(item)
        return (tag, items), at
    if tag == 0x03:
        return (tag, _octet(octets, at) != 0), at + 1
    if tag in INTEGERS:
        raw = _take(octets, at, INTEGERS[tag])
        return (tag, int.from_bytes(raw, "big", signed=tag in SIGNED)), at + len(raw)
    if tag in STRINGS:
        length, at = _length(octets, at)
        return (tag, _take(octets, at, length)), at + length
    if tag in TIMES:
        return (tag, _take(octets, at, TIMES[tag])), at + TIMES[tag]
    raise Malformed(f"tag {tag:02x}")


def _octet(octets, at):
    return _take(octets, at, 1)[0]


def _take(octets, at, length):
    if at + length > len(octets):
        raise Malformed("ends too early")
    return octets[at:at + length]


def _length(octets, at):
    first = _octet(octets, at)
    if first < 0x80:
        return first, at + 1
    raw = _take(octets, at + 1, first & 0x7F)
    return int.from_bytes(raw, "big"), at + 1 + len(raw)


def string(octets):
    """An octet-string, encoded."""
    size = len(octets)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return b"\x09" + length + octets


def unsigned(number):
    """A double-long-unsigned, encoded."""
    return b"\x06" + number.to_bytes(4, "big")


def rows(octets):
    """A profile of two columns as [((year, month, day, hour, minute, second), number)].

    Day of week, hundredths, deviation and status are left out: peers fill them differently.
    """
    tag, items = decode(octets)
    if tag != 0x01:
        raise Malformed(f"a buffer has tag 01, not {tag:02x}")
    found = []
    for tag, cells in items:
        if tag != 0x02 or len(cells) != 2:
            raise Malformed("a row is a structure of two")
        (time_tag, time), (number_tag, number) = cells
        if time_tag not in (0x09, 0x19) or len(time) != 12 or number_tag != 0x06:
            raise Malformed(f"a row has a date-time and a double-long-unsigned, not {time_tag:02x} and {number_tag:02x}")
        found.append(((int.from_bytes(time[:2], "big"), time[2], time[3], *time[5:8]), number))
    return found


def objects(octets):
    """An object list as {CLASS:OBIS}."""
    tag, items = decode(octets)
    if tag != 0x01:
        raise Malformed(f"an object list has tag 01, not {tag:02x}")
    found = set()
    for tag, cells in items:
        if tag != 0x02 or len(cells) != 4 or cells[0][0] != 0x12 or cells[2][0] != 0x09:
            raise Malformed("an entry is a structure of class, version, name and rights")
        found.add(f"{cells[0][1]}:{'.'.join(str(octet) for octet in cells[2][1])}")
    return found
