"""Children whose lines are read as they come."""

import os
import re
import signal
import subprocess
import threading
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failure(Exception):
    pass


class Process:
    """A child whose lines are read as they come. It ends with this program's own end."""

    def __init__(self, name, words, **more):
        self.name, self.lines, self.ended = name, [], False
        self.changed = threading.Condition()
        more = {"cwd": root, **more}
        pipe = subprocess.PIPE
        try:
            self.child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace", **more
            )
        except OSError as error:
            raise Failure(f"{name} cannot be started: {error}") from None
        self.errors = []
        self.readers = [
            threading.Thread(target=self.read, args=(self.child.stdout, self.take), daemon=True),
            threading.Thread(target=self.read, args=(self.child.stderr, self.errors.append), daemon=True),
        ]
        for reader in self.readers:
            reader.start()
        Process.all.append(self)

    all = []

    def read(self, stream, take):
        for line in stream:
            take(line.rstrip("\n"))
        with self.changed:
            self.ended = self.ended or stream is self.child.stdout
            self.changed.notify_all()

    def take(self, line):
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def wait_for(self, pattern, seconds):
        end = time.monotonic() + seconds
        with self.changed:
            seen = 0
            while True:
                for line in self.lines[seen:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                seen = len(self.lines)
                if self.ended or not self.changed.wait(max(0.0, end - time.monotonic())):
                    raise Failure(f"{self.name}: no line with {pattern!r} came. {self.last_words()}")

    def wait(self, seconds):
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s. {self.last_words()}") from None
        for reader in self.readers:
            reader.join()
        return self.child.returncode

    def last_words(self):
        return "Its last words:\n  " + "\n  ".join(self.lines[-5:] + self.errors[-15:])

    def end(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
