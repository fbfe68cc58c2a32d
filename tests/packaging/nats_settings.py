#!/usr/bin/env python3
"""Every configuration of a NATS server that is shipped, shown, or that tests run has the settings which consumers rely on
(docs/deployment.md, "Settings of the server"), and what lacks one is found: nats_settings.py SOURCE_DIR."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

source = pathlib.Path(sys.argv.pop())

BYTES = {"": 1, "K": 1000, "KB": 1024, "M": 1000**2, "MB": 1024**2, "MI": 1024**2, "G": 1000**3, "GB": 1024**3, "GI": 1024**3}


def is_second(value):
    return value.strip('"') == "1s"


def is_three_busy_seconds(value):
    found = re.fullmatch(r"(\d+)([A-Za-z]*)", value)
    return found is not None and int(found[1]) * BYTES.get(found[2].upper(), 0) >= 256 << 20


def is_true(value):
    return value == "true"


def is_always(value):
    return value.strip('"') == "always"


# Key, the block that it is in, what its value has to be, and one that is worse: nats-server's own.
SETTINGS = [
    ("write_deadline", "", is_second, '"10s"'),
    ("max_pending", "", is_three_busy_seconds, "64MB"),
    ("no_fast_producer_stall", "", is_true, "false"),
    ("sync_interval", "jetstream", is_always, '"2m"'),
]


def read(path):
    return (source / path).read_text(encoding="utf-8")


def between(text, begin, end):
    """What stands between the first line that has `begin` and the next one that is `end`."""
    found = re.search(rf"^.*{re.escape(begin)}.*\n((?:.*\n)*?){end}\n", text, re.MULTILINE)
    if found is None:
        raise AssertionError(f"no block from {begin} to {end}")
    return found[1]


def literals(text):
    """The strings of a piece of C, as one; of several in a choice the last one."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)))


def of_chart(text):
    """The chart's template, with the value of maxPending in its place and nothing in that of the others."""
    value = re.search(r"^    maxPending: (\S+)$", read("helm/meltica/values.yaml"), re.MULTILINE)
    text = re.sub(r'\{\{ include "meltica.bytes" \$v.maxPending \}\}', value[1], text)
    return re.sub(r"\{\{.*?\}\}", "0", text, flags=re.DOTALL)


SHIPPED = {
    "docker/nats.conf": lambda text: text,
    "tools/demo/demo.sh": lambda text: between(text, "<<CONF", "CONF"),
    "helm/meltica/templates/nats/_config.tpl": of_chart,
    "helm/meltica/README.md": lambda text: between(between(text, "## NATS of your own", r"\*\*Credentials\*\*.*"), "```", "```"),
    "docs/deployment.md": lambda text: between(between(text, "## Settings of the server", "## .*"), "```", "```"),
    "tests/support/mlt_stack.c": lambda text: literals(between(text, "static void write_nats_config", "}")),
}


def settings(text):
    """(block, key) -> value, of the form of nats-server's files; a comment is none."""
    out, blocks = {}, []
    text = re.sub(r'"[^"\n]*"|(#|//).*', lambda found: "" if found[1] else found[0], text)
    for opened, closed, key, value in re.findall(r'([A-Za-z_]\w*)\s*[:=]?\s*\{|(\})|([A-Za-z_]\w*)\s*[:=]\s*("[^"]*"|[^\s,{}\[\]]+)', text):
        if opened:
            blocks.append(opened)
        elif closed:
            blocks = blocks[:-1]
        else:
            out[".".join(blocks), key] = value
    return out


def lacking(text):
    has = settings(text)
    return [key for key, block, good, _ in SETTINGS if not good(has.get((block, key), ""))]


class Shipped(unittest.TestCase):
    def test_each_has_all_of_them(self):
        for path, part in SHIPPED.items():
            with self.subTest(path):
                self.assertEqual(lacking(part(read(path))), [])

    def test_one_that_is_missing_commented_out_or_worse_is_found(self):
        for path, part in SHIPPED.items():
            for key, _, _, worse in SETTINGS:
                pattern = rf'{key}: (\\?"\w+\\?"|\{{\{{[^}}]*\}}\}}|\w+)'
                quoted = worse.replace('"', '\\"') if path.endswith(".c") else worse
                for change in ("", f"# {key}: ", f"{key}: {quoted}", f"other_{key}: 1"):
                    with self.subTest(path, key=key, change=change):
                        text, count = re.subn(pattern, lambda _, to=change: to, read(path))
                        self.assertGreaterEqual(count, 1)
                        self.assertIn(key, lacking(part(text)))

    def test_a_setting_in_another_block_is_none(self):
        self.assertEqual(lacking('write_deadline: "1s"\nmax_pending: 256MB\nno_fast_producer_stall: true\nsync_interval: always\n'), ["sync_interval"])
        self.assertEqual(lacking('jetstream { write_deadline: "1s", max_pending: 1GB, no_fast_producer_stall: true, sync_interval: always }\n'),
                         ["write_deadline", "max_pending", "no_fast_producer_stall"])

    def test_a_server_takes_them(self):
        server = shutil.which("nats-server")
        if server is None:
            self.skipTest("nats-server is not there")
        environment = {**os.environ, "MELTICA_CONSOLE_ORIGIN": "http://127.0.0.1:9380", "MELTICA_CONSOLE_ORIGIN_TOO": "http://localhost:9380"}
        with tempfile.TemporaryDirectory() as folder:
            for path in ("docker/nats.conf", "helm/meltica/README.md", "docs/deployment.md"):
                with self.subTest(path):
                    file = pathlib.Path(folder, "nats.conf")
                    file.write_text(SHIPPED[path](read(path)), encoding="utf-8")
                    answer = subprocess.run([server, "-t", "-c", str(file)], env=environment, capture_output=True, text=True, check=False)
                    self.assertEqual(answer.returncode, 0, answer.stderr)


unittest.main()
