"""Our own binary in both roles, by the forms that `gridward --help` prints."""
import os
import subprocess

from .process import Program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def binary():
    """GRIDWARD, or what `cargo build` left."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.environ.get("GRIDWARD", os.path.join(ROOT, target, "debug", "gridward"))


def missing():
    """Why ours cannot take part; empty where it can."""
    if not os.path.exists(binary()):
        return "there is no gridward binary; cargo build -p gridward"
    for role in ("meter", "read", "write", "invoke"):
        done = subprocess.run([binary(), role, "--help"], capture_output=True, timeout=20)
        if done.returncode or f"gridward {role}".encode() not in done.stdout:
            return f"gridward has no `{role}` yet"
    return "not driven yet"


class Gridward:
    """Both roles."""

    def serve(self, case, given, scratch):
        raise NotImplementedError

    def ask(self, case, given, cells, scratch):
        raise NotImplementedError
