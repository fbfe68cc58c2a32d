#!/usr/bin/env python3
"""The pictures of the documentation: what meltica shows of a demo that runs, as SVG in docs/images.

usage: pictures.py BIN_DIR SOURCE_DIR [NAME...]; called by ./dev pictures inside the platform.

The commands run on a terminal of their own, as a user has them; what stands on it at the end is drawn cell by cell.
"""
import fcntl
import html
import json
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

MARKET = ["--synthetic", "--symbols", "14", "--rate", "600"]
READY_S = 90
BYTES_MAX = 60_000
INSTRUMENT = "SYM0001-USDT"


# ---- a terminal: the sequences that meltica writes, and no others -------------------------------------------------

class Screen:
    """Rows of (character, style); `whole` is the last drawing that was complete."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.style = frozenset()
        self.row = self.column = 0
        self.cells = self.empty()
        self.whole = None

    def empty(self):
        return [[(" ", frozenset())] * self.columns for _ in range(self.rows)]

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            if self.row == self.rows - 1:
                self.cells = self.cells[1:] + self.empty()[:1]
            else:
                self.row += 1
        elif self.column < self.columns:
            self.cells[self.row][self.column] = (character, self.style)
            self.column += 1

    def control(self, parameters, final):
        if final == "m":
            for code in parameters.split(";"):
                self.style = frozenset() if code in ("", "0") else self.style | {"s" + code}
        elif final == "H":
            self.row = self.column = 0
        elif final == "K":
            self.clear(self.row, self.column)
        elif final == "J" and parameters == "2":
            self.cells = self.empty()
        elif final == "J":
            self.clear(self.row, self.column)
            self.cells[self.row + 1:] = self.empty()[self.row + 1:]
            self.whole = [row[:] for row in self.cells]
        elif not (parameters.startswith("?") and final in "hl"):
            raise SystemExit(f"pictures: a sequence that is not known here: ESC [ {parameters} {final}")

    def clear(self, row, column):
        self.cells[row][column:] = self.empty()[0][column:]

    def feed(self, text):
        for control, final, character in re.findall(r"\x1b\[([?0-9;]*)([A-Za-z])|([^\x1b])", text):
            if final:
                self.control(control, final)
            else:
                self.put(character)

    def picture(self):
        """Without the empty rows at the end."""
        rows = self.whole or self.cells
        while rows and all(character == " " for character, _ in rows[-1]):
            rows = rows[:-1]
        return rows


def on_terminal(words, rows, columns, seconds):
    """What stands on a terminal when the command has ended, or after so long; then `q` and Ctrl-C end it."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.execvp(words[0], words)
    screen, rest, end = Screen(rows, columns), b"", time.monotonic() + seconds
    ended = False
    while True:
        ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
        if not ready and not ended:  # the time is over: what comes from here on is the command's farewell
            ended, end = True, time.monotonic() + 10
            picture = screen.picture()
            os.write(master, b"q\x03")
            continue
        try:
            more = os.read(master, 65536) if ready else b""
        except OSError:  # it has ended
            more = b""
        if not more:
            break
        if not ended:
            text = rest + more
            cut = max(text.rfind(b"\x1b"), 0) if b"\x1b" in text[-16:] else len(text)
            screen.feed(text[:cut].decode("utf-8", "replace"))
            rest = text[cut:]
    if not ended:
        screen.feed(rest.decode("utf-8", "replace"))
        picture = screen.picture()
    os.close(master)
    os.waitpid(pid, 0)
    return picture


# ---- as SVG -------------------------------------------------------------------------------------------------------

CELL, LINE, SIZE = 8.4, 18, 14
EDGE, BAR = 14, 30

STYLE = """
.terminal text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;white-space:pre;fill:#d5dbe3}
.terminal .paper{fill:#10151c;stroke:#39424e}.terminal .bar{fill:#1c232d}.terminal .title{fill:#9aa5b4}
.terminal .s1{font-weight:bold}.terminal .s2{fill:#8b95a3}.terminal .s31{fill:#ff7b72}.terminal .s32{fill:#56d364}.terminal .s35{fill:#d2a8ff}
.terminal rect.s7{fill:#d5dbe3}.terminal text.s7{fill:#10151c}
@media (prefers-color-scheme:light){.terminal text{fill:#1d242d}
.terminal .paper{fill:#fbfcfd;stroke:#c5ccd5}.terminal .bar{fill:#eceff3}.terminal .title{fill:#4c5664}
.terminal .s2{fill:#5d6774}.terminal .s31{fill:#b3261e}.terminal .s32{fill:#14692c}.terminal .s35{fill:#7a3ec0}
.terminal rect.s7{fill:#1d242d}.terminal text.s7{fill:#fbfcfd}}
"""


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


def runs(row):
    """(column, text, style) of what has one style; blanks at the ends of a run without a ground are left out."""
    start = 0
    for column in range(1, len(row) + 1):
        if column < len(row) and row[column][1] == row[start][1]:
            continue
        text, style = "".join(character for character, _ in row[start:column]), row[start][1]
        shown = text if "s7" in style else text.rstrip(" ")
        lead = 0 if "s7" in style else len(shown) - len(shown.lstrip(" "))
        if shown[lead:]:
            yield start + lead, shown[lead:], style
        start = column


def svg(title, rows):
    used = [column + len(text) for row in rows for column, text, _ in runs(row)]
    width = max(used + [len(title) + 4]) * CELL + 2 * EDGE
    height = BAR + len(rows) * LINE + 1.5 * EDGE
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" class="terminal" viewBox="0 0 {number(width)} {number(height)}" '
           f'width="{number(width)}" height="{number(height)}">',
           f"<title>{html.escape(title)}</title>", f"<style>{STYLE}</style>",
           f'<rect class="paper" x=".5" y=".5" width="{number(width - 1)}" height="{number(height - 1)}" rx="6"/>',
           f'<path class="bar" d="M1 {BAR}V7a6 6 0 0 1 6-6H{number(width - 7)}a6 6 0 0 1 6 6V{BAR}z"/>',
           f'<text class="title" x="{EDGE}" y="20">{html.escape("$ " + title)}</text>']
    for index, row in enumerate(rows):
        base = BAR + EDGE + index * LINE + SIZE - 4
        for column, text, style in runs(row):
            x, length, names = EDGE + column * CELL, len(text) * CELL, " ".join(sorted(style))
            if "s7" in style:
                out.append(f'<rect class="s7" x="{number(x)}" y="{number(base - SIZE)}" width="{number(length)}" height="{LINE}"/>')
            # The length makes columns stand under each other whatever font there is.
            out.append(f'<text{f" class={chr(34)}{names}{chr(34)}" if names else ""} x="{number(x)}" y="{number(base)}" '
                       f'textLength="{number(length)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">'
                       f"{html.escape(text, quote=False)}</text>")
    return "\n".join(out + ["</svg>", ""])


# ---- a demo, and what is shown of it ------------------------------------------------------------------------------

class Demo:
    def __init__(self, programs, source, folder):
        self.out = os.path.join(folder, "out")
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen([os.path.join(source, "tools/demo/demo.sh"), programs, source, *MARKET],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def said(self, pattern):
        deadline = time.monotonic() + READY_S
        while True:
            text = pathlib.Path(self.out).read_text(encoding="utf-8", errors="replace")
            if found := re.search(pattern, text):
                return found[1]
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"pictures: the demo did not come up:\n{text[-2000:]}")
            time.sleep(0.1)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


def answer(meltica, *words):
    return json.loads(subprocess.run([meltica, *words], check=True, stdout=subprocess.PIPE, timeout=60).stdout)


def wait_until_live(meltica):
    deadline = time.monotonic() + READY_S
    while True:
        instruments = answer(meltica, "top", "--json")["instruments"]
        if len(instruments) >= 14 and all(i.get("book") == "LIVE" for i in instruments):
            return
        if time.monotonic() > deadline:
            raise SystemExit("pictures: the books did not become LIVE")


def key_of_a_trade(meltica):
    """Old enough to be in the journal, which is written a little after it left."""
    events = subprocess.run([meltica, "tail", INSTRUMENT, "--json", "--count", "60"], check=True, stdout=subprocess.PIPE,
                            timeout=60).stdout.splitlines()
    for event in map(json.loads, events):
        if event["type"] == "TRADE":
            return str(event["key"])
    raise SystemExit("pictures: no trade came")


def take(programs, source, names):
    meltica, images = os.path.join(programs, "meltica"), pathlib.Path(source, "docs/images")
    with tempfile.TemporaryDirectory(prefix="meltica-pictures.") as folder:
        demo = Demo(programs, source, folder)
        try:
            rest_url = demo.said(r"doctor --rest-url (\S+)")
            os.environ["MELTICA_NATS_URL"] = demo.said(r"nats +(nats://\S+)")
            wait_until_live(meltica)
            # Name: command, rows, columns, seconds until it is looked at.
            shown = {"tail": ("tail", 22, 96, 8), "top": ("top --sort name", 26, 80, 8),
                     "doctor": (f"doctor --rest-url {rest_url}", 60, 110, 60),
                     "trace": (f"trace {key_of_a_trade(meltica)}", 30, 130, 60),
                     # Measures of the last minute want a minute.
                     "book": (f"book {INSTRUMENT}", 40, 80, 60)}
            for name in names or shown:
                command, rows, columns, seconds = shown[name]
                picture = svg(f"meltica {command}", on_terminal([meltica, *shlex.split(command)], rows, columns, seconds))
                if len(picture.encode()) > BYTES_MAX:
                    raise SystemExit(f"pictures: {name} has {len(picture.encode())} bytes, {BYTES_MAX} are allowed")
                (images / f"{name}.svg").write_text(picture, encoding="utf-8")
                print(f"docs/images/{name}.svg")
        finally:
            demo.end()


take(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:])
