"""Programs of strangers, within bounds of time and output."""
import json
import os
import signal
import subprocess
import threading
import time

LARGEST = 4 << 20  # octets of output of one program


class Program:
    """A process group whose output is read up to a bound; more of it stops the program."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=env, start_new_session=True)
        self.out, self.err = bytearray(), bytearray()
        self.flooded = False
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    def _read(self, pipe, into):
        while octets := pipe.read1(65536):
            if len(into) < LARGEST:
                into += octets
            elif into is self.out and not self.flooded:
                self.flooded = True
                self.stop()

    def wait(self, seconds):
        """The exit status; None when it had to be stopped."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return None
        for reader in self.readers:
            reader.join(5)
        return None if self.flooded else status

    def wait_for(self, text, seconds):
        """Whether the text has come on the standard output in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if text in self.out:
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        return False

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def lines(self):
        """The JSON objects among the lines of the standard output."""
        found = []
        for line in bytes(self.out).decode(errors="replace").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
        return found

    def last_words(self):
        lines = [line for line in bytes(self.err).decode(errors="replace").splitlines() if line.strip(" ^~")]
        return lines[-1].strip()[:300] if lines else ""
