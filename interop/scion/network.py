"""A small SCION network of the reference implementation's programs, on this machine.

Six ASes in three isolation domains, a process for each router that matters, so that one can be
stopped; the same ASes, links and interfaces as crates/scion/tests/it/network.rs:

      ISD 1 (meters)              ISD 2 (head end)          ISD 3 (foreign transit)
    120 core --------------------- 210 core
     |             110 core ------ 210 core -- 310 core -- 110 core
     +--- 111 leaf --- 110 core    210 core == 211 leaf (two uplinks)

Each service has an address of its own in 127.N.0.0/16; with namespaces (root) each AS is one, on
10.N.0.0/16 behind one bridge, and the two leaves run a SCION-IP gateway between 172.31.11.0/24 and
172.31.21.0/24. With hidden paths the segments down to the meters' AS are registered for one group alone:
111 writes, 211 owns it, keeps them and reads. `FOLDER/net.json` describes the network to whoever uses
it. The folder keeps keys: remove it for a new network.
"""
import base64
import http.client
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = "v0.15.1"  # as scripts/need has it
PROGRAMS = ROOT / ".tools" / "scion" / VERSION
LIMIT_S = 180  # how long the paths may take on a busy machine
MTU = 1400


class AS:
    """An AS: third octet of its addresses, whether it is core, routers with their interfaces, place."""

    def __init__(self, octet, core, routers, place):
        self.octet, self.core, self.routers, self.place = octet, core, routers, place


ASES = {
    "1-ff00:0:110": AS(10, True, {"br1": [1], "br2": [2], "br3": [10]}, (46.95, 7.45, "CH-Bern")),
    "1-ff00:0:120": AS(12, True, {"br1": [1, 10]}, (47.37, 8.54, "CH-Zuerich")),
    "1-ff00:0:111": AS(11, False, {"br1": [1], "br2": [2]}, (47.05, 8.31, "CH-Luzern")),
    "2-ff00:0:210": AS(20, True, {"br1": [1], "br2": [2], "br3": [3], "br4": [10, 11]},
                       (48.14, 11.58, "DE-Muenchen")),
    "2-ff00:0:211": AS(21, False, {"br1": [1], "br2": [2]}, (50.11, 8.68, "DE-Frankfurt")),
    "3-ff00:0:310": AS(30, True, {"br1": [1, 2]}, (40.71, -74.01, "US-New York")),
}
LINKS = [  # AS, interface, what the second is to the first, AS, interface, time one way
    ("1-ff00:0:110", 1, "core", "2-ff00:0:210", 1, "5ms"),
    ("1-ff00:0:110", 2, "core", "3-ff00:0:310", 1, "40ms"),
    ("3-ff00:0:310", 2, "core", "2-ff00:0:210", 2, "40ms"),
    ("1-ff00:0:120", 1, "core", "2-ff00:0:210", 3, "7ms"),
    ("1-ff00:0:110", 10, "child", "1-ff00:0:111", 1, "2ms"),
    ("1-ff00:0:120", 10, "child", "1-ff00:0:111", 2, "3ms"),
    ("2-ff00:0:210", 10, "child", "2-ff00:0:211", 1, "1ms"),
    ("2-ff00:0:210", 11, "child", "2-ff00:0:211", 2, "1ms"),
]
METERS, HEAD_END = "1-ff00:0:111", "2-ff00:0:211"
LEAVES = {METERS: HEAD_END, HEAD_END: METERS}
PATHS = 6

# Hidden paths: the AS that owns the group and keeps its segments, and the group's name. It is none of the cores of
# the writer's domain: v0.15.1 gives what such a one keeps to everybody who asks it for public segments.
REGISTRY = HEAD_END
GROUP = "ff00:0:211-a1"


class NetworkError(Exception):
    """What keeps the network from running."""


def number(isd_as):
    return isd_as.rsplit(":", 1)[1]


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, text=True, **options)


def within(namespace):
    """What a command begins with that runs in a network namespace. `ip -n` would want to mount, which not all may."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


def built(*words):
    """Where one of our programs is (scripts/built)."""
    return run(ROOT / "scripts" / "built", *words, stdout=subprocess.PIPE).stdout.strip()


def finish(process):
    """Ends a program of ours, in any case."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def birth(pid):
    """When a process began, by which its number is known not to be another's."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


class Network:
    """The network of a folder; `net` is N of its addresses, two at once need two."""

    def __init__(self, folder, namespaces=False, net=50, hidden=False):
        self.folder = pathlib.Path(folder).resolve()
        known = self.folder / "net.json"
        if known.exists():
            before = json.loads(known.read_text())
            namespaces, net, hidden = before["namespaces"], before["net"], before.get("hidden", False)
        self.namespaces, self.net, self.hidden = namespaces, net, hidden
        self.running, self.logs = self.folder / "run", self.folder / "log"
        self.generated = self.folder / "gen"

    # Addresses.

    def address(self, isd_as, host=1):
        return f"{'10' if self.namespaces else '127'}.{self.net}.{ASES[isd_as].octet}.{host}"

    def router(self, isd_as, name):
        return self.address(isd_as, 10 + int(name[2:]))

    def counters(self, isd_as, name):
        """Where a router tells what it counted."""
        return f"{self.router(isd_as, name)}:30442"

    def underlay(self, isd_as, interface):
        name = next(name for name, all in ASES[isd_as].routers.items() if interface in all)
        return f"{self.router(isd_as, name)}:{50000 + interface}"

    def namespace(self, isd_as):
        return f"scion{self.net}-{number(isd_as)}"

    def bridge(self):
        return f"scion{self.net}-hub"

    def behind(self, isd_as):
        """The network behind the gateway of a leaf."""
        return ipaddress.ip_network(f"172.31.{ASES[isd_as].octet}.0/24")

    def control(self, isd_as):
        return f"{self.address(isd_as)}:30252"

    def daemon(self, isd_as):
        return f"{self.address(isd_as)}:30255"

    def application(self, isd_as):
        """Where applications are. A DRKey is given only to the host that the daemon's connection comes
        from, and among addresses of 127/8 that is always 127.0.0.1."""
        return self.address(isd_as) if self.namespaces else "127.0.0.1"

    # Configuration.

    def base(self, isd_as):
        return self.generated / f"AS{isd_as.split('-')[1].replace(':', '_')}"

    def generate(self):
        if (self.folder / "net.json").exists():
            return
        shutil.rmtree(self.generated, ignore_errors=True)
        self.generated.mkdir(parents=True)
        issuers = {}
        for isd_as, it in ASES.items():
            if it.core:
                issuers.setdefault(isd_as.split("-")[0], isd_as)
        lines = ["ASes:"]
        for isd_as, it in ASES.items():
            issuer = issuers[isd_as.split("-")[0]]
            roles = ["core", "voting", "authoritative", "issuing"] if isd_as == issuer else ["core"] * it.core
            fields = [f"{role}: true" for role in roles]
            fields += [] if isd_as == issuer else [f"cert_issuer: {issuer}"]
            lines.append(f'  "{isd_as}": {{{", ".join(fields)}}}')
        (self.generated / "crypto.topo").write_text("\n".join(lines) + "\n")
        with open(self.generated / "crypto.log", "w", encoding="utf-8") as log:
            run(PROGRAMS / "scion-pki", "testcrypto", "--topo", self.generated / "crypto.topo",
                "--out", self.generated, "--as-validity", "30d", stdout=log, stderr=log)
        for isd_as in ASES:
            self.generate_as(isd_as, issuers.values())
        self.describe()

    def generate_as(self, isd_as, issuers):
        it, base = ASES[isd_as], self.base(isd_as)
        for root in self.generated.glob("ISD*/trcs/*.trc"):
            shutil.copy(root, base / "certs")
        for folder in ("keys", "db"):
            (base / folder).mkdir(exist_ok=True)
        for name in ("master0.key", "master1.key"):  # of hop fields and DRKeys: 16 random octets
            key = base / "keys" / name
            key.write_text(base64.b64encode(os.urandom(16)).decode())
            key.chmod(0o600)
        self.topology(isd_as)
        config = lambda file, *lines: (base / file).write_text("\n".join(lines) + "\n")
        general = lambda name: f'[general]\nid = "{name}"\nconfig_dir = "{base}"\n[log.console]\nlevel = "info"'
        stored = lambda section, name: f'[{section}]\nconnection = "{base}/db/{name}.db"'
        own = number(isd_as)
        group = f'"{base}/hidden.yaml"' if self.hidden and isd_as in (METERS, HEAD_END) else '""'
        if group != '""':
            self.hide(isd_as)
        config("cs.toml", general(f"cs-{own}"), stored("trust_db", "cs.trust"), stored("beacon_db", "cs.beacon"),
               stored("path_db", "cs.path"), stored("drkey.level1_db", "cs.level1"),
               stored("drkey.secret_value_db", "cs.secrets"), "[beaconing]", 'origination_interval = "1s"',
               'propagation_interval = "1s"', 'registration_interval = "1s"', "[path]", 'query_interval = "10s"',
               f"hidden_paths_cfg = {group}", "[drkey.delegation]", f'scmp = ["{self.application(isd_as)}"]',
               "[ca]", f'mode = "{"in-process" if isd_as in issuers else "disabled"}"')
        config("sd.toml", general(f"sd-{own}"), stored("trust_db", "sd.trust"), stored("path_db", "sd.path"),
               stored("drkey_level2_db", "sd.level2"), "[sd]", f'address = "{self.daemon(isd_as)}"',
               'query_interval = "10s"', f"hidden_path_groups = {group}")
        for name in it.routers:
            config(f"{name}.toml", general(f"{name}-{own}"), "[router]", "num_processors = 1", "batch_size = 64",
                   "[metrics]", f'prometheus = "{self.counters(isd_as, name)}"')
        config("dispatcher.toml", f'[dispatcher]\nid = "dispatcher-{own}"\nunderlay_addr = "{self.address(isd_as)}"',
               '[log.console]\nlevel = "info"')
        if self.namespaces and isd_as in LEAVES:
            peer = LEAVES[isd_as]
            rules = {"ConfigVersion": 1, "ASes": {peer: {"Nets": [str(self.behind(peer))]}}}
            config("traffic.policy", json.dumps(rules))
            config("routing.policy", f"accept {peer} {isd_as} {self.behind(peer)}",
                   f"advertise {isd_as} {peer} {self.behind(isd_as)}")
            config("sig.toml", f'[gateway]\nid = "sig-{own}"\ntraffic_policy_file = "{base}/traffic.policy"',
                   f'ip_routing_policy_file = "{base}/routing.policy"\nctrl_addr = "{self.address(isd_as)}"',
                   f'[tunnel]\nname = "sig"\nsrc_ipv4 = "{self.behind(isd_as)[1]}"',
                   f'[sciond_connection]\naddress = "{self.daemon(isd_as)}"\n[log.console]\nlevel = "info"')

    def hide(self, isd_as, reader=HEAD_END):
        """Writes what an AS knows of the group, the file that all of its members share but for the writer's part."""
        lines = ["groups:", f'  "{GROUP}":', f'    owner: "{REGISTRY}"', f'    writers: ["{METERS}"]',
                 f'    readers: ["{reader}"]', f'    registries: ["{REGISTRY}"]']
        if isd_as == METERS:
            # Neither interface registers anything for everybody.
            lines += ["registration_policy_per_interface:",
                      *(f'  {one}: ["{GROUP}"]' for all in ASES[METERS].routers.values() for one in all)]
        (self.base(isd_as) / "hidden.yaml").write_text("\n".join(lines) + "\n")

    def topology(self, isd_as):
        it, own = ASES[isd_as], number(isd_as)
        interfaces, latency = {}, {}
        for one, mine, kind, other, theirs, delay in LINKS:
            back = {"core": "core", "child": "parent"}[kind]
            for here, near, there, far, link in ((one, mine, other, theirs, kind), (other, theirs, one, mine, back)):
                if here == isd_as:
                    ends = {"local": self.underlay(here, near), "remote": self.underlay(there, far)}
                    interfaces[near] = {"underlay": ends, "isd_as": there, "link_to": link, "mtu": MTU}
                    latency[near] = delay
        service = {f"cs-{own}": {"addr": self.control(isd_as)}}
        topology = {
            "isd_as": isd_as, "mtu": MTU, "attributes": ["core"] if it.core else [],
            # Straight to any application's port; 30041 is left for echo.
            "dispatched_ports": "1024-65535",
            "border_routers": {f"{name}-{own}": {
                "internal_addr": f"{self.router(isd_as, name)}:30042",
                "interfaces": {str(one): interfaces[one] for one in all}} for name, all in it.routers.items()},
            "control_service": service, "discovery_service": service,
        }
        if self.hidden and isd_as == REGISTRY:
            topology["hidden_segment_lookup_service"] = topology["hidden_segment_registration_service"] = service
        if self.namespaces and isd_as in LEAVES:
            ports = {"ctrl_addr": 30256, "data_addr": 30056, "probe_addr": 30856}
            addresses = {name: f"{self.address(isd_as)}:{port}" for name, port in ports.items()}
            topology["sigs"] = {f"sig-{own}": addresses}
        (self.base(isd_as) / "topology.json").write_text(json.dumps(topology, indent=1))
        latitude, longitude, place = it.place
        static = {
            "Latency": {str(one): {"Inter": delay, "Intra": {str(other): "1ms" for other in latency if other != one}}
                        for one, delay in latency.items()},
            "Bandwidth": {str(one): {"Inter": 100_000, "Intra": {}} for one in latency},
            "LinkType": {str(one): "direct" for one in latency},
            "Geo": {str(one): {"Latitude": latitude, "Longitude": longitude, "Address": place} for one in latency},
            "Note": place,
        }
        (self.base(isd_as) / "staticInfoConfig.json").write_text(json.dumps(static, indent=1))

    def describe(self):
        def of(isd_as, it):
            gateway = self.namespaces and isd_as in LEAVES
            return {
                "daemon": self.daemon(isd_as), "control": self.control(isd_as),
                "application": self.application(isd_as), "core": it.core, "config": str(self.base(isd_as)),
                "namespace": self.namespace(isd_as) if self.namespaces else None,
                "behind_gateway": str(self.behind(isd_as)) if gateway else None,
                "routers": {f"{name}-{number(isd_as)}": {
                    "internal": f"{self.router(isd_as, name)}:30042", "interfaces": all,
                    "counters": self.counters(isd_as, name)}
                    for name, all in it.routers.items()},
            }
        text = {"net": self.net, "namespaces": self.namespaces, "hidden": self.hidden, "version": VERSION,
                "tool": str(ROOT / "interop" / "scion" / "net"),
                "ases": {isd_as: of(isd_as, it) for isd_as, it in ASES.items()}}
        (self.folder / "net.json").write_text(json.dumps(text, indent=1))

    # Namespaces.

    def present(self):
        listed = run("ip", "netns", "list", capture_output=True).stdout.splitlines()
        have = {line.split()[0] for line in listed if line}
        return [name for name in [*map(self.namespace, ASES), self.bridge()] if name in have]

    def make_namespaces(self):
        ours = self.running / "namespaces"
        if self.present() and not ours.exists():
            raise NetworkError(f"another network has the namespaces scion{self.net}-*: take another number")
        self.remove_namespaces()
        ours.touch()
        hub = self.bridge()
        run("ip", "netns", "add", hub)
        run(*within(hub), "ip", "link", "add", "br0", "type", "bridge")
        run(*within(hub), "ip", "link", "set", "br0", "up")
        for isd_as, it in ASES.items():
            name, port = self.namespace(isd_as), f"p{number(isd_as)}"
            run("ip", "netns", "add", name)
            run(*within(name), "ip", "link", "set", "lo", "up")
            run(*within(hub), "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            run(*within(hub), "ip", "link", "set", port, "master", "br0", "up")
            for host in [1, *(10 + int(router[2:]) for router in it.routers)]:
                run(*within(name), "ip", "address", "add", f"{self.address(isd_as, host)}/16", "dev", "eth0")
            run(*within(name), "ip", "link", "set", "eth0", "up")
            if isd_as in LEAVES:
                run(*within(name), "ip", "address", "add", f"{self.behind(isd_as)[1]}/32", "dev", "lo")

    def remove_namespaces(self):
        ours = self.running / "namespaces"
        if ours.exists():
            for name in self.present():
                run("ip", "netns", "delete", name)
            ours.unlink()

    def inside(self, isd_as):
        """What a command begins with that runs in an AS."""
        return within(self.namespace(isd_as)) if self.namespaces else []

    # Processes.

    def processes(self):
        for isd_as, it in ASES.items():
            base, own = self.base(isd_as), number(isd_as)
            for name in it.routers:
                yield f"{name}-{own}", isd_as, "router", base / f"{name}.toml"
            yield f"cs-{own}", isd_as, "control", base / "cs.toml"
            yield f"sd-{own}", isd_as, "daemon", base / "sd.toml"
            if isd_as in LEAVES:
                yield f"dispatcher-{own}", isd_as, "dispatcher", base / "dispatcher.toml"
                if self.namespaces:
                    yield f"sig-{own}", isd_as, "gateway", base / "sig.toml"

    def names(self):
        return [name for name, *_ in self.processes()]

    def pid(self, name):
        """The process started under this name, if it is still that one."""
        try:
            pid, born = (self.running / f"{name}.pid").read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if birth(int(pid)) == born else None

    def start(self, name):
        if self.pid(name):
            return
        found = next((rest for own, *rest in self.processes() if own == name), None)
        if not found:
            raise NetworkError(f"no process is called {name}; there are {' '.join(self.names())}")
        isd_as, program, config = found
        # Else a gateway looks for paths every ten seconds.
        env = {"SCION_EXPERIMENTAL_GATEWAY_PATH_UPDATE_INTERVAL": "1s", **os.environ}
        with open(self.logs / f"{name}.log", "a", encoding="utf-8") as log:
            child = subprocess.Popen([*self.inside(isd_as), PROGRAMS / program, "--config", config],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                     start_new_session=True, env=env)
        (self.running / f"{name}.pid").write_text(f"{child.pid} {birth(child.pid)}")

    def stop(self, *names):
        for number_of, patience_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            alive = [pid for pid in map(self.pid, names) if pid]
            for pid in alive:
                os.kill(pid, number_of)
            end = time.monotonic() + patience_s
            while time.monotonic() < end and any(map(self.pid, names)):
                for pid in alive:
                    try:
                        os.waitpid(pid, os.WNOHANG)
                    except ChildProcessError:
                        pass  # another process started it
                time.sleep(0.05)
        for name in names:
            (self.running / f"{name}.pid").unlink(missing_ok=True)

    def is_up(self, router):
        """Whether a router has all its links, and reaches the other routers of its AS, as it tells itself."""
        isd_as = next(isd_as for name, isd_as, *_ in self.processes() if name == router)
        asked = http.client.HTTPConnection(self.counters(isd_as, router.split("-")[0]), timeout=20)
        try:
            asked.request("GET", "/metrics")
            lines = asked.getresponse().read().decode().splitlines()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()
        links = [line for line in lines if line.startswith(("router_interface_up{", "router_sibling_reachable{"))]
        return bool(links) and all(line.endswith(" 1") for line in links)

    def restart(self, router):
        """Starts a router that was stopped, and waits until it is up."""
        self.start(router)
        end = time.monotonic() + LIMIT_S
        while not self.is_up(router):
            if time.monotonic() > end:
                raise NetworkError(f"{router} is not up after {LIMIT_S} s: {self.last(router)}")
            time.sleep(0.1)

    def tool(self, isd_as, *words):
        """Runs the reference implementation's `scion` in an AS; what it printed as JSON, or None."""
        command = [*self.inside(isd_as), PROGRAMS / "scion", *words, "--sciond", self.daemon(isd_as), "--format", "json"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        try:
            return json.loads(said.stdout)
        except ValueError:
            return None

    def paths(self, source, destination, *more):
        """The paths that the daemon of `source` has, without asking whether they live."""
        told = self.tool(source, "showpaths", destination, "--refresh", "--no-probe", "--maxpaths", "50", *more)
        return (told or {}).get("paths") or []

    def is_ready(self, source, destination):
        if self.namespaces:
            routes = run(*within(self.namespace(source)), "ip", "route", capture_output=True).stdout
            if f"{self.behind(destination)} dev sig" not in routes:
                return False
        return len(self.paths(source, destination)) >= PATHS

    def up(self):
        """Starts everything and waits until the leaves have all their paths."""
        if self.namespaces and os.geteuid():
            raise NetworkError("namespaces need root")
        if not (PROGRAMS / "scion").exists():
            raise NetworkError("the programs are not there: run scripts/need scion")
        for folder in (self.running, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        if any(map(self.pid, self.names())):
            raise NetworkError("it is up already")
        self.generate()
        if self.namespaces:
            self.make_namespaces()
        for name in self.names():
            self.start(name)
        waiting, end = dict(LEAVES), time.monotonic() + LIMIT_S
        while waiting:
            ended = [name for name in self.names() if not self.pid(name)]
            if ended or time.monotonic() > end:
                said = ["", *(f"{name} ended: {self.last(name)}" for name in ended[:3])]
                self.down()
                raise NetworkError("the network did not come up" + "\n  ".join(said))
            waiting = {one: other for one, other in waiting.items() if not self.is_ready(one, other)}
            time.sleep(0.3 if waiting else 0)

    def last(self, name):
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "nothing was said"

    def down(self):
        """Stops what `up` and `start` started, and nothing else."""
        if self.running.exists():
            self.stop(*self.names())
            if self.namespaces:
                self.remove_namespaces()
