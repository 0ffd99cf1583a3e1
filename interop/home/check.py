"""check.py GRIDWARD ROOT: see `run` beside it."""
import base64
import calendar
import csv
import glob
import html
import http.client
import json
import os
import pty
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import tty

GRIDWARD, ROOT = sys.argv[1:3]
SHARED = os.path.join(os.path.dirname(ROOT), "shared", "data", "espi")
LONG_S = 120
AGE_S = 10

results = {"ok": 0, "FAILED": 0}
skips = []


def check(name, holds, more=""):
    results["ok" if holds else "FAILED"] += 1
    print(f"{'ok' if holds else 'FAILED'}: {name}{'' if holds else ': ' + str(more)[:400]}", flush=True)


def skip(reason):
    skips.append(reason)
    print(f"skipped: {reason}", flush=True)


def until(what, seconds=LONG_S):
    """Waits until `what()` gives something, and gives that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    return None


def crc16(octets):
    """The CRC of DSMR P1: polynomial 0x8005 reflected, begun with 0."""
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


class Meter:
    """A P1 port behind a serial server: a telegram each second, until it is silenced."""

    def __init__(self):
        self.watts, self.delivered_wh, self.received_wh, self.speaks = 1512, 27875300, 4120377, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        peer.settimeout(1)
        try:
            while True:
                if self.speaks:
                    peer.sendall(self.telegram())
                try:
                    heard = peer.recv(256)
                    if not heard:
                        return
                    self.heard += heard
                except TimeoutError:
                    pass
        except OSError:
            return

    def telegram(self):
        stamp = time.strftime("%y%m%d%H%M%S", time.gmtime(time.time() + 3600)) + "W"
        lines = [
            "/GWD5\\253P1METER", "", "1-3:0.2.8(50)", f"0-0:1.0.0({stamp})", "0-0:96.1.1(4757443030303031)",
            f"1-0:1.8.1({self.delivered_wh / 1000:010.3f}*kWh)", "1-0:1.8.2(000000.000*kWh)",
            f"1-0:2.8.1({self.received_wh / 1000:010.3f}*kWh)", "1-0:2.8.2(000000.000*kWh)",
            f"1-0:1.7.0({max(self.watts, 0) / 1000:06.3f}*kW)", f"1-0:2.7.0({max(-self.watts, 0) / 1000:06.3f}*kW)", "!",
        ]
        text = "\r\n".join(lines).encode()
        return text + b"%04X\r\n" % crc16(text)


class Broker:
    def __init__(self, folder):
        self.port = free_port()
        self.config = os.path.join(folder, "mosquitto.conf")
        passwords = os.path.join(folder, "mosquitto.passwords")
        open(passwords, "w").close()
        os.chmod(passwords, 0o644)
        subprocess.run(["mosquitto_passwd", "-b", passwords, "gridward", "for-the-broker"], check=True)
        os.chmod(passwords, 0o644)
        with open(self.config, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
                       f"user root\npersistence false\n")
        self.messages = []
        self.start()

    def start(self):
        self.process = subprocess.Popen(["mosquitto", "-c", self.config], stderr=subprocess.DEVNULL)
        until(lambda: reachable(self.port))
        self.listener = subprocess.Popen(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-u", "gridward", "-P", "for-the-broker",
             "-t", "#", "-F", "%j"], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, args=(self.listener,), daemon=True).start()

    def listen(self, listener):
        for line in listener.stdout:
            self.messages.append(json.loads(line))

    def publish(self, topic, payload):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-u", "gridward",
                        "-P", "for-the-broker", "-t", topic, "-m", payload], check=True)

    def stop(self):
        for process in (self.listener, self.process):
            process.terminate()
            process.wait()

    def last(self, ending, since=0):
        found = [message for message in self.messages[since:] if message["topic"].endswith(ending)]
        return found[-1]["payload"] if found else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def home_assistant(discovery):
    """Validates each component by the schema of its platform, as Home Assistant does when it finds it."""
    try:
        from homeassistant.components.mqtt import binary_sensor, sensor
    except ImportError as error:
        skip(f"Home Assistant's schema could not be loaded: {error}")
        return
    schemas = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}
    for key, component in discovery["components"].items():
        entity = {name: value for name, value in component.items() if name != "platform"}
        entity |= {"device": discovery["device"], "origin": discovery["origin"]}
        try:
            taken = schemas[component["platform"]](dict(entity))
            lost = set(entity) - {str(name) for name in taken} - {"origin"}
            check(f"Home Assistant takes {key}", not lost, f"not known: {lost}")
        except Exception as error:  # voluptuous tells what is wrong
            check(f"Home Assistant takes {key}", False, error)
    broken = {**discovery["components"]["power"], "device_class": "might"}
    try:
        schemas["sensor"]({name: value for name, value in broken.items() if name != "platform"})
        check("Home Assistant refuses what is wrong", False)
    except Exception:
        check("Home Assistant refuses what is wrong", True)


class Page:
    def __init__(self, line, cert):
        self.host = line["url"].split("/")[2]
        self.context = ssl.create_default_context(cafile=cert)
        both = f"{line['user']}:{line['password']}".encode()
        self.headers = {"authorization": "Basic " + base64.b64encode(both).decode()}

    def get(self, path):
        address, port = self.host.rsplit(":", 1)
        connection = http.client.HTTPSConnection(address, int(port), timeout=30, context=self.context)
        try:
            connection.request("GET", path, headers=self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def validates(name, text, folder):
    """Holds a document against both schemas; it stays in a file for those who read it next."""
    file = document(name, folder)
    with open(file, "wb") as out:
        out.write(text)
    found = sorted(glob.glob(os.path.join(SHARED, "xsd", "*greenbutton*.xsd")))
    if not found:
        skip("the schemas of Green Button are not beside this folder")
    for schema in found:
        told = subprocess.run(["xmllint", "--nonet", "--noout", "--schema", schema, file],
                              capture_output=True, text=True)
        check(f"{name} validates by {os.path.basename(schema)}", told.returncode == 0, told.stderr)


def document(name, folder):
    return os.path.join(folder, name.replace(" ", "-") + ".xml")


def reads(name, folder):
    """Has greenbutton-objects read what was served."""
    try:
        from greenbutton_objects import parse
        points = parse.parse_feed(document(name, folder))
        readings = [reading for point in points for series in point.meterReadings
                    for block in series.intervalBlocks for reading in block.intervalReadings]
        check(f"greenbutton-objects reads {name}: {len(readings)} readings", len(readings) >= 2, readings)
    except ImportError:
        skip("greenbutton-objects is not installed")
    except Exception:
        check(f"greenbutton-objects reads {name}", False, traceback.format_exc())


def asserts(name, folder, blocks):
    """Evaluates the public validator's assertions of these function blocks on what was served; tells which fail."""
    table = os.path.join(SHARED, "schematron_assertions.csv")
    try:
        from lxml import etree
    except ImportError:
        skip("lxml is not installed: the validator's assertions were not evaluated")
        return None
    if not os.path.exists(table):
        skip("the validator's assertions are not beside this folder")
        return None
    tree = etree.parse(document(name, folder))
    spaces = {"atom": "http://www.w3.org/2005/Atom", "espi": "http://naesb.org/espi"}
    count, failed = 0, []
    with open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["function_block"] not in blocks:
                continue
            # What XSLT calls current() is the node that the assertion is about.
            path = html.unescape(row["must_hold_xpath"]).replace("current()", "$here")
            if row["context_xpath"] == "/":
                nodes, path = [tree.getroot()], "/" + path
            else:
                nodes = tree.xpath(row["context_xpath"], namespaces=spaces)
            for node in nodes:
                count += 1
                if not node.xpath(path, namespaces=spaces, here=[node]):
                    failed.append(row["test_id"])
    return count, sorted(set(failed))


def started(config):
    """A gateway with this configuration, which tells its address first."""
    return subprocess.Popen([GRIDWARD, "homegate", "--config", config, "--json"], stdout=subprocess.PIPE, text=True)


def past(folder, meter):
    """A gateway with two months behind it: history and summary as it serves them."""
    data = os.path.join(folder, "past")
    config = os.path.join(folder, "past.toml")
    with open(config, "w") as file:
        file.write(f"""[homegate]
listen = "127.0.0.1:0"
source = "p1+tcp://127.0.0.1:{meter.port}"
data = "past"
""")

    def start():
        process = started(config)
        return process, json.loads(process.stdout.readline())

    gateway, line = start()
    gateway.terminate()
    gateway.wait()
    now = int(time.time()) // 60 * 60 - 60
    today = time.gmtime(now)
    year, month = (today.tm_year, today.tm_mon - 1) if today.tm_mon > 1 else (today.tm_year - 1, 12)
    first = calendar.timegm((year, month, 1, 0, 0, 0)) - 3600
    with sqlite3.connect(os.path.join(data, "history.sqlite")) as kept:
        # 600 W, up to where the meter's register stands.
        kept.executemany("INSERT OR REPLACE INTO minute VALUES (?, 8, 8, 4800, 600, 600, ?, NULL, 0, ?)",
                         ((start, meter.delivered_wh * 1000 - (now - start) // 60 * 10000, (start + 55) * 1000)
                          for start in range(first, now, 60)))
    kept.close()
    gateway, again = start()
    try:
        page = Page({**again, "password": line["password"]}, os.path.join(data, "ca.pem"))
        resource = "/espi/1_1/resource"
        until(lambda: page.get(f"{resource}/MeterReading/2")[0] == 200)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 2 * 86400))
        for name, path, blocks in [
                ("history of two days", f"{resource}/Batch/Subscription/1?published-min={since}", ["FB_01", "FB_04", "FB_05"]),
                ("history of all", f"{resource}/Batch/RetailCustomer/1/UsagePoint?published-min=2020-01-01T00:00:00Z",
                 ["FB_01", "FB_04", "FB_05"]),
                ("current values and summary", f"{resource}/Batch/Subscription/1", ["FB_01", "FB_04", "FB_09", "FB_15"]),
                ("summary", f"{resource}/UsageSummary", []),
                ("all interval blocks", f"{resource}/IntervalBlock", [])]:
            status, text = page.get(path)
            check(f"{name} is served", status == 200, (status, text))
            validates(name, text, folder)
            if not blocks:
                continue
            reads(name, folder)
            told = asserts(name, folder, blocks)
            if told:
                check(f"{name}: {told[0]} assertions of the public validator hold ({', '.join(blocks)})",
                      told[0] > 40 and not told[1], told[1])
        # Current values hold no energy of intervals, and the assertion for that sees it.
        told = asserts("current values and summary", folder, ["FB_05"])
        if told:
            check("an assertion that does not hold is seen", told[1] == ["D078"], told)
    finally:
        gateway.terminate()
        gateway.wait()


def green_button(page, folder):
    resource = "/espi/1_1/resource"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    documents = {
        "batch": f"{resource}/Batch/Subscription/1",
        "download": f"{resource}/Batch/RetailCustomer/1/UsagePoint",
        "usage point": f"{resource}/UsagePoint/1",
        "meter readings": f"{resource}/Subscription/1/UsagePoint/1/MeterReading",
        "interval blocks": f"{resource}/Subscription/1/UsagePoint/1/MeterReading/1/IntervalBlock",
        "reading type": f"{resource}/ReadingType/1",
        "local time": f"{resource}/LocalTimeParameters/1",
    }
    for name, path in documents.items():
        status, text = page.get(path)
        check(f"{name} is served", status == 200, (status, text))
        validates(name, text, folder)
    reads("batch", folder)
    for query, status in [("published-min=soon", 400), ("max-results=many", 400), ("updated-max=2026", 400),
                          (f"published-max={now}&published-min={now[:-1]}", 400)]:
        check(f"{query.split('=')[0]} that is malformed is refused",
              page.get(f"{documents['batch']}?{query}")[0] == status)


def certificates(folder):
    """Two authorities, and a broker's certificate of the first for 127.0.0.1, another for elsewhere."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("right", "wrong"):
        openssl("req", "-x509", *key, "-keyout", f"{name}-ca.key", "-out", f"{name}-ca.pem", "-days", "2",
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")
    for name, place in (("here", "IP:127.0.0.1"), ("elsewhere", "DNS:broker.example")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=broker")
        with open(os.path.join(folder, "names"), "w") as file:
            file.write(f"subjectAltName={place}\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "right-ca.pem", "-CAkey", "right-ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "names")


def over_tls(folder, meter):
    """A broker with TLS: reached under the authority that signed its certificate, and under no other."""
    folder = os.path.join(folder, "tls")
    os.mkdir(folder)
    certificates(folder)
    plain = free_port()
    here, elsewhere = free_port(), free_port()
    config = os.path.join(folder, "mosquitto.conf")
    with open(config, "w") as file:
        file.write(f"user root\npersistence false\nallow_anonymous true\nlistener {plain} 127.0.0.1\n")
        for port, name in ((here, "here"), (elsewhere, "elsewhere")):
            file.write(f"listener {port} 127.0.0.1\ncertfile {folder}/{name}.pem\nkeyfile {folder}/{name}.key\n")
    broker = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
    messages, gateways = {}, []
    try:
        until(lambda: reachable(plain) and reachable(here))
        heard = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(plain), "-t", "#", "-F", "%t"],
                                 stdout=subprocess.PIPE, text=True)
        gateways.append(heard)

        def listen():
            for line in heard.stdout:
                messages.setdefault(line.split("/")[0], []).append(line.strip())

        threading.Thread(target=listen, daemon=True).start()
        logs = {}
        # The right one last: the others have had their time when it is through.
        for name, ca, port in (("wrong", "wrong-ca.pem", here), ("name", "right-ca.pem", elsewhere),
                               ("right", "right-ca.pem", here)):
            text = os.path.join(folder, f"{name}.toml")
            with open(text, "w") as file:
                file.write(f"""[homegate]
listen = "127.0.0.1:0"
source = "p1+tcp://127.0.0.1:{meter.port}"
data = "{name}"
[homegate.mqtt]
host = "127.0.0.1"
port = {port}
tls = true
ca = "{ca}"
topic = "{name}"
discovery_prefix = "{name}"
""")
            logs[name] = os.path.join(folder, f"{name}.log")
            with open(logs[name], "w") as log:
                gateways.append(subprocess.Popen([GRIDWARD, "homegate", "--config", text, "--json"], stdout=subprocess.PIPE,
                                                 stderr=log, text=True))
            gateways[-1].stdout.readline()
            if name == "right":
                continue

            def refused():
                with open(logs[name]) as file:
                    told = file.read()
                return told if "certificate" in told.lower() else None

            told = until(refused)
            check(f"a broker's certificate of {'another authority' if name == 'wrong' else 'another name'} is refused, and told",
                  told is not None, open(logs[name]).read())
        through = until(lambda: any(topic.endswith("/state") for topic in messages.get("right", [])))
        check("values come over TLS to the broker whose authority is named", through, open(logs["right"]).read())
        check("and nothing came from those that refused it", set(messages) == {"right"}, set(messages))
    finally:
        for process in [*gateways, broker]:
            process.kill()
            process.wait()


def announced():
    """In a network namespace with one interface: zeroconf finds the gateway, connects to what it found, and sees it leave."""
    from zeroconf import ServiceBrowser, ServiceListener, Zeroconf
    for command in ("link set lo up", "link add home0 type veth peer name home1", "addr add 192.168.91.7/24 dev home0",
                    "link set home1 up", "link set home0 up multicast on", "route add default dev home0"):
        subprocess.run(["ip", *command.split()], check=True)
    folder = tempfile.mkdtemp(prefix="gridward-home-")
    meter = Meter()
    config = os.path.join(folder, "gridward.toml")
    with open(config, "w") as file:
        file.write(f"""[homegate]
name = "Lindenweg 14, Zürich"
listen = "0.0.0.0:0"
source = "p1+tcp://127.0.0.1:{meter.port}"
data = "data"
mdns = true
""")
    gateway = started(config)
    try:
        line = json.loads(gateway.stdout.readline())
        found, gone = {}, []

        class Seen(ServiceListener):
            def add_service(self, zc, kind, name):
                found[kind] = (name, zc.get_service_info(kind, name, timeout=10_000))

            def update_service(self, zc, kind, name):
                self.add_service(zc, kind, name)

            def remove_service(self, zc, kind, name):
                gone.append(kind)

        zc = Zeroconf(interfaces=["192.168.91.7"])
        kinds = ["_gridward._tcp.local.", "_https._tcp.local."]
        ServiceBrowser(zc, kinds, Seen())
        # Addresses come with the interfaces, which the system tells one after the other.
        infos = lambda: [found.get(kind, (None, None))[1] for kind in kinds]
        until(lambda: all(info and "192.168.91.7" in info.parsed_addresses() for info in infos()))
        name, info = found.get(kinds[0], ("", None))
        port = int(line["url"].rstrip("/").rsplit(":", 1)[1])
        check("zeroconf finds the gateway by its name", name == f"Lindenweg 14, Zürich.{kinds[0]}", found)
        check("under its address and port", info and info.port == port and "192.168.91.7" in info.parsed_addresses(), info)
        check("with where Green Button is", info and info.properties.get(b"espi") == b"/espi/1_1/resource", info)
        check("and as a page for browsers", kinds[1] in found and found[kinds[1]][1] is not None, found)
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(info.parsed_addresses()[0], info.port, timeout=30, context=context)
        connection.request("GET", info.properties[b"path"].decode())
        check("what was found answers", connection.getresponse().status == 200)
        gateway.terminate()
        gateway.wait()
        until(lambda: len(set(gone)) == 2)
        check("a gateway that is stopped takes its announcement back", set(gone) == set(kinds), gone)
        zc.close()
    finally:
        gateway.kill()
        gateway.wait()
        shutil.rmtree(folder)


def mdns():
    try:
        import zeroconf  # noqa: F401
    except ImportError:
        skip("zeroconf is not installed: mDNS was not tried")
        return
    if subprocess.run(["unshare", "--net", "ip", "link", "add", "home0", "type", "veth"], capture_output=True).returncode:
        skip("no network namespace can be made here: mDNS was not tried")
        return
    done = subprocess.run(["unshare", "--net", sys.executable, os.path.abspath(__file__), GRIDWARD, ROOT, "--announced"],
                          stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.startswith(("ok: ", "FAILED: ")):
            results[line.split(":")[0]] += 1
            print(line, flush=True)
    check("mDNS was tried to the end", done.returncode == 0 and "ok: " in done.stdout, done.stdout)


def setup(folder, meter):
    """The wizard finds a port by listening: a pseudo terminal, named as udev names serial devices."""
    devices = os.path.join(folder, "by-id")
    os.mkdir(devices)
    port, end = pty.openpty()
    tty.setraw(port)
    os.symlink(os.ttyname(end), os.path.join(devices, "usb-P1_reader-if00"))
    config = os.path.join(folder, "setup.toml")
    process = subprocess.Popen([GRIDWARD, "homegate", "setup", "--yes", "--devices", devices, "--config", config,
                                "--data", os.path.join(folder, "setup")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    heard = b""
    os.set_blocking(port, False)
    while process.poll() is None:
        os.write(port, meter.telegram())
        time.sleep(0.5)
        try:
            heard += os.read(port, 4096)
        except BlockingIOError:
            pass
    check("setup finds the port", process.returncode == 0, process.stderr.read())
    check("and nothing came of it to the meter", heard == b"", heard)
    source = [line for line in open(config) if line.startswith("source")]
    check("and names it as it stays", source == [f'source = "p1://{devices}/usb-P1_reader-if00"\n'], source)
    for descriptor in (port, end):
        os.close(descriptor)


def main():
    folder = tempfile.mkdtemp(prefix="gridward-home-")
    data = os.path.join(folder, "data")
    meter, broker = Meter(), Broker(folder)
    secret = os.path.join(folder, "mqtt.password")
    with open(secret, "w") as file:
        file.write("for-the-broker\n")
    config = os.path.join(folder, "gridward.toml")
    with open(config, "w") as file:
        file.write(f"""[homegate]
zone = "Europe/Zurich"
listen = "127.0.0.1:0"
source = "p1+tcp://127.0.0.1:{meter.port}"
current_age_max_s = {AGE_S}
data = "data"
[homegate.mqtt]
host = "127.0.0.1"
port = {broker.port}
user = "gridward"
password_file = "mqtt.password"
""")
    gateway = started(config)
    try:
        line = json.loads(gateway.stdout.readline())
        page = Page(line, os.path.join(data, "ca.pem"))
        state = until(lambda: broker.last("/state"))
        check("values come over the broker", state is not None)
        discovery = until(lambda: broker.last("/config"))
        check("the device is announced", discovery is not None)
        home_assistant(json.loads(discovery))
        received = until(lambda: "energy_received" in json.loads(broker.last("/config"))["components"])
        check("energy to the grid is announced", received)
        check("the gateway is online", until(lambda: broker.last("/gateway") == "online"))
        check("the meter is online", until(lambda: broker.last("/meter") == "online"))
        retained = [message for message in broker.messages if message["topic"].endswith("/state") and message["retain"]]
        check("no state is retained", not retained, retained)

        # A power cut at the meter: zeros, then less than before.
        since = len(broker.messages)
        for delivered in (0, 1000):
            meter.delivered_wh, meter.watts = delivered, 0
            time.sleep(3)
        meter.delivered_wh, meter.watts = 27875400, 640
        grown = until(lambda: "27875.4" in (broker.last("/state", since) or ""))
        check("what grows again is told", grown, broker.last("/state"))
        totals = [json.loads(message["payload"]).get("energy_delivered_kwh") for message in broker.messages
                  if message["topic"].endswith("/state")]
        totals = [total for total in totals if total is not None]
        check("no total is zero or shrinks", totals == sorted(totals) and min(totals) >= 27875.3, totals)

        green_button(page, folder)
        told = subprocess.run(["curl", "-sS", "--cacert", os.path.join(data, "ca.pem"), "-u",
                               f"{line['user']}:{line['password']}", "-o", os.devnull, "-w", "%{http_code}",
                               line["url"] + "api/v1/state"], capture_output=True, text=True)
        check("curl signs in", told.stdout == "200", told)

        # Home Assistant starts anew.
        since = len(broker.messages)
        broker.publish("homeassistant/status", "online")
        check("its start is answered", until(lambda: broker.last("/config", since)))

        # The broker goes and comes.
        broker.stop()
        since = len(broker.messages)
        broker.start()
        check("a broker that was gone is told again", until(lambda: broker.last("/config", since)))
        check("with the values of now", until(lambda: "27875.4" in (broker.last("/state", since) or "")))

        # The meter falls silent.
        since = len(broker.messages)
        meter.speaks = False
        check("silence makes the meter's entities unavailable",
              until(lambda: broker.last("/meter", since) == "offline"))
        after = [message for message in broker.messages[since:] if message["topic"].endswith("/state")]
        time.sleep(3)
        more = [message for message in broker.messages[since:] if message["topic"].endswith("/state")]
        check("and nothing stale is told", len(more) == len(after), more[len(after):])
        status, figures = page.get("/metrics")
        check("nor to Prometheus", status == 200 and b"gridward_home_power_watts " not in figures, figures)
        meter.speaks = True
        check("and it comes back", until(lambda: broker.last("/meter", since) == "online"))
        check("nothing was ever sent to the meter", meter.heard == b"", meter.heard)

        past(folder, meter)
        setup(folder, meter)
        over_tls(folder, meter)
        mdns()

        # The gateway is killed: the broker tells its will.
        since = len(broker.messages)
        gateway.kill()
        gateway.wait()
        check("the broker tells the end of a gateway that was killed",
              until(lambda: broker.last("/gateway", since) == "offline"))
    finally:
        gateway.kill()
        gateway.wait()
        broker.stop()
    if results["FAILED"]:
        print(f"what was served is in {folder}")
    else:
        shutil.rmtree(folder)


if "--announced" in sys.argv:
    announced()
    sys.exit(1 if results["FAILED"] else 0)
if not shutil.which("mosquitto"):
    skip("mosquitto is not installed")
else:
    main()
print(f"{results['ok']} passed, {results['FAILED']} failed, {len(skips)} skipped")
sys.exit(1 if results["FAILED"] else 0)
