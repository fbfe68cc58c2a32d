#!/usr/bin/env python3
"""The front door, as a new user meets it: front_door.py SOURCE_DIR BIN_DIR.

Mistakes are said alone and before anything is built; the demo says above its
table where everything is, that a recording is at its end, and that it found none.
Another nats-server takes the place of the platform's where one is named.
"""
import os
import re
import select
import subprocess
import sys
import tempfile
import time

source, programs = sys.argv[1:]
dev = os.path.join(source, "dev")
demo = os.path.join(source, "tools/demo/demo.sh")


def said(*command, **environment):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                            env={**os.environ, **environment})
    return result.returncode, result.stdout, result.stderr


def expect(what, is_so, text):
    if not is_so:
        sys.exit(f"{what}:\n{text}")


def mistakes():
    for words, status, sentence in ((["foo"], 1, 'dev: no command "foo": ./dev --help lists them\n'),
                                    (["k8s", "--foo"], 1, 'dev: k8s takes --node, --images or --report FILE.md, not "--foo"\n'),
                                    (["console", "test", "foo"], 1, 'dev: console test takes unit or browser, not "foo"\n'),
                                    (["demo", "--foo"], 2, 'demo: no option "--foo": ./dev demo --help lists them\n')):
        # Nothing is made for it: there is nowhere to make it.
        got = said(dev, *words, MELTICA_ROOT="/proc/none")
        expect(f"./dev {' '.join(words)}", got == (status, "", sentence), got)


def recording(folder):
    path = os.path.join(folder, "small")
    with open(path, "w", encoding="ascii") as file:
        for n in range(1, 21):
            at = 1723161254000 + n * 10
            file.write(f'{at}000000 {{"stream":"btcusdt@trade","data":{{"e":"trade","E":{at},"s":"BTCUSDT","t":{n},'
                       f'"p":"61000.01","q":"0.5","T":{at},"m":true,"M":true}}}}\n')
    return path


class Terminal:
    """A command on a terminal of 80 columns and 24 rows."""

    def __init__(self, *command, **environment):
        self.master, slave = os.openpty()
        subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=slave, check=True)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, "TERM": "xterm", **environment})
        os.close(slave)
        self.text = ""

    def wait_for(self, pattern, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            try:
                more = os.read(self.master, 65536) if ready else b""
            except OSError:  # all that had it open are gone
                more = b""
            expect(f"no {pattern!r} on the terminal", more, self.text[-4000:])
            self.text += more.decode("utf-8", "replace")
        return found

    def end(self):
        self.process.terminate()
        while True:
            try:
                if not os.read(self.master, 65536):
                    break
            except OSError:
                break
        self.process.wait(20)
        os.close(self.master)


def above_the_table(terminal):
    terminal.wait_for(r"\x1b\[\?1049h")
    terminal.text = terminal.text[terminal.text.rindex("\x1b[?1049h"):]
    terminal.wait_for(r"INSTRUMENT")
    for line in (r"nats nats://127\.0\.0\.1:\d+   exchange http://127\.0\.0\.1:\d+ \(replay\)",
                 r"logs /\S+/log", r"\./dev meltica doctor --rest-url http://127\.0\.0\.1:\d+",
                 r"metrics http://127\.0\.0\.1:PORT/metrics: adapter :\d+  conductor :\d+"):
        expect(f"{line} does not stand above the table", re.search("\n" + line + r"\x1b\[K", terminal.text), terminal.text)
    terminal.wait_for(r"Ctrl-C ends\x1b\[0m\x1b\[K\r?\nthe recording is at its end")


def addresses_and_the_end():
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(demo, programs, source, "--capture", recording(folder))
        try:
            above_the_table(terminal)
        finally:
            terminal.end()


def no_recording():
    result = said(demo, programs, source, "--seconds", "1", MELTICA_CAPTURES="/nowhere")
    expect("the demo", result[0] == 0 and result[2] == "demo: no recording in /nowhere: a synthetic market (--synthetic)\n",
           result)


def another_server():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "server-of-mine")
        with open(path, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\necho "mine $1"\n')
        result = said(dev, "shell", "nats-server", "--version", MELTICA_NATS_SERVER=path, MELTICA_ROOT=folder)
        expect("a program that is not executable was taken", result[0] == 1 and "is no program" in result[2], result)
        os.chmod(path, 0o755)
        result = said(dev, "shell", "nats-server", "--version", MELTICA_NATS_SERVER=path, MELTICA_ROOT=folder)
        expect("MELTICA_NATS_SERVER", result == (0, "mine --version\n", ""), result)


mistakes()
another_server()
addresses_and_the_end()
no_recording()
