#!/usr/bin/env python3
"""Writes the manual pages from what the programs say of themselves with --help, so that a page and its program cannot
differ. What is not understood of a help is an error, not a page with a hole. The same programs give the same bytes.

usage: man.py --version VERSION --docs FOLDER --config FOLDER --out FOLDER PROGRAM...
(the folders of --docs and --config are those that the pages name; out gets NAME.SECTION.gz)
"""
import argparse
import collections
import gzip
import os
import re
import subprocess
import sys

SERVICE_STATUS = [("0", "It was told to end (SIGTERM, SIGINT) and drained, or an option such as --help was answered."),
                  ("1", "It failed, or what was in hand did not leave within drain_timeout_ms; also: --healthcheck says no."),
                  ("2", "The configuration is wrong.")]
TOOL_STATUS = [("0", "Done; of a check: all is well."),
               ("1", "Refused, not found, not well, or output was lost."),
               ("2", "Wrong usage.")]

Item = collections.namedtuple("Item", "flag text expected default variable")


def fail(what):
    sys.exit("man: " + what)


def said(program, *words):
    answer = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    # What a sanitizer's allocator has logged on stderr is no fault of the help.
    if answer.returncode != 0 or not answer.stdout.isascii():
        fail(f"{program} {' '.join(words)}: status {answer.returncode}, {answer.stdout[:200]!r} {answer.stderr[:200]!r}")
    return answer.stdout


# ---- roff ----------------------------------------------------------------------------------------------

ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}


def roff(text):
    return "".join(ESCAPES.get(c, c) for c in text)


def line(text):
    """One line of text; what begins as a request of roff is none."""
    text = roff(text)
    return ("\\&" if text.startswith((".", "\\(aq")) else "") + text


def heading(page, title):
    page.append(f'.SH "{roff(title)}"')


def entries(page, pairs):
    """Options and what they are; an empty description is a bare line."""
    for term, text in pairs:
        page += [".TP", ".B " + line(term), line(text)]


def synopsis(page, program, rest):
    """Filled, but never broken within one option."""
    kept, depth = [], 0
    for c in rest:
        depth += c in "[(<"
        depth -= c in "])>"
        kept.append("\\ " if c == " " and depth > 0 else roff(c))
    page += [".B " + line(program)] + (["".join(kept)] if kept else [])


def blocks(page, lines):
    """Help of free form: lines in two columns are entries, lines that end in a colon before them headings, others text."""
    paragraph, pair = [], None

    def end():
        nonlocal pair
        if pair:
            entries(page, [(pair[0], " ".join(pair[1]))])
            pair = None
        if paragraph:
            text = " ".join(paragraph)
            if text.startswith("(") and text.endswith(")"):
                text = text[1:2].upper() + text[2:-1] + "."
            page.extend([".P", line(text)])
            paragraph.clear()

    for text in lines:
        entry = re.fullmatch(r" {2}(\S.*?) {2,}(\S.*)", text) or re.fullmatch(r" {2}([A-Z]\w*):? (\S.*)", text)
        if entry:
            end()
            pair = (entry.group(1), [entry.group(2)])
        elif text.startswith("    ") and pair:
            pair[1].append(text.strip())
        elif text.strip() == "":
            end()
        elif text.startswith(" ") and not paragraph:
            fail(f"not understood: {text!r}")
        else:
            if pair:
                end()
            if text.endswith(":") and not paragraph:
                end()
                page.append(f'.SS "{line(text[:-1])}"')
            else:
                paragraph.append(text.strip())
    end()


def usage_of(text):
    """(what follows "usage: NAME" on its line and those indented below it, the lines after)"""
    lines = text.rstrip("\n").split("\n")
    if not lines[0].startswith("usage: "):
        fail(f"no usage: {lines[0]!r}")
    words, rest = [lines[0][len("usage: "):]], 1
    while rest < len(lines) and re.match(r" {6,}\[", lines[rest]):
        words.append(lines[rest].strip())
        rest += 1
    return words, lines[rest:]


def begin(name, section, version, summary):
    return ['.\\" Made by packaging/man.py from what the program says of itself.',
            f'.TH "{roff(name.upper())}" "{section}" "" "Meltica {version}" "Meltica"', ".nh", ".ad l",
            '.SH "NAME"', f"{roff(name)} \\- {roff(summary)}"]


def finish(page, status, docs, others):
    heading(page, "EXIT STATUS")
    entries(page, status)
    heading(page, "SEE ALSO")
    page += [", ".join(f"\\fB{roff(name)}\\fP({section})" for name, section in others) + ".", ".P",
             f"The documents in {roff(docs)}."]
    return "\n".join(page) + "\n"


# ---- services ------------------------------------------------------------------------------------------

def service_help(program):
    """(summary, options of every program, configuration items)"""
    lines = said(program, "--help").rstrip("\n").split("\n")
    name = os.path.basename(program)
    first = re.fullmatch(re.escape(name) + r": (.*?)\.?", lines[0])
    if not first or lines[1:3] != ["", f"usage: {name} [--key value | --key=value]..."]:
        fail(f"{name} --help begins otherwise than a service")
    options, items, at = [], [], 3
    while not lines[at].startswith("  --"):
        at += 1
    while at < len(lines) and lines[at]:
        found = re.fullmatch(r" {2}(--[a-z-]+(?: [A-Z]+)?) {2,}(\S.*)", lines[at])
        if not found:
            fail(f"{name} --help: {lines[at]!r} is no option")
        options.append(found.groups())
        at += 1
    at += 1
    while at < len(lines):
        flag = re.fullmatch(r" {2}(--[a-z0-9-]+) VALUE", lines[at])
        what = re.fullmatch(r' {6}(.*); default (none|".*"); (MELTICA_[A-Z0-9_]+)', lines[at + 2]) if flag else None
        if not what:
            fail(f"{name} --help: {lines[at]!r} is no item of the configuration")
        items.append(Item(flag.group(1), lines[at + 1].strip(), *what.groups()))
        at += 3
    return first.group(1), options, items


def put_items(page, items):
    for item in items:
        default = "no default" if item.default == "none" else "default " + item.default
        page += [".TP", f"\\fB{roff(item.flag)}\\fP \\fIVALUE\\fP", line(item.text), ".br",
                 line(f"{item.expected[0].upper()}{item.expected[1:]}; {default}; {item.variable}.")]


def service_page(name, found, common, version, options, others):
    summary, general, items = found
    page = begin(name, 8, version, summary)
    heading(page, "SYNOPSIS")
    synopsis(page, name, "[--key value | --key=value]...")
    heading(page, "DESCRIPTION")
    page += [line("A service of Meltica. The services are joined by NATS alone; it waits for NATS by itself and never ends "
                  "for the want of it. It runs in the foreground, writes its log to stderr as JSON, one object a line, and has "
                  "/livez, /readyz and /metrics on its HTTP port."), ".P",
             line("A key of the configuration comes from, strongest first: its flag, its variable, the JSON file of --config "
                  "FILE (or MELTICA_CONFIG), its default. No key takes a secret itself: credentials are files.")]
    heading(page, "OPTIONS")
    entries(page, [(flag, text[0].upper() + text[1:] + ".") for flag, text in general])
    heading(page, "CONFIGURATION")
    own = [item for item in items if item.flag not in common]
    if own:
        put_items(page, own)
    else:
        page.append("It has the keys of every service and none of its own.")
    heading(page, "CONFIGURATION OF EVERY SERVICE")
    put_items(page, [item for item in items if item.flag in common])
    heading(page, "ENVIRONMENT")
    page += [line("The variables of the keys above, MELTICA_CONFIG, and the standard's OTEL_* variables for traces."), ".P",
             line("Another MELTICA_* variable is an error only if it is at most two edits away from one of these.")]
    heading(page, "FILES")
    entries(page, [(f"{options.config}/meltica.env", "Variables of all services that systemd starts."),
                   (f"{options.config}/{name[len('meltica-'):]}.env", "Variables of this one; they win.")])
    return finish(page, SERVICE_STATUS, options.docs, others)


# ---- tool and simulator --------------------------------------------------------------------------------

def tool_page(program, version, options, others):
    overview = said(program, "--help").split("\n")
    commands = []
    for text in overview[1:-2]:
        found = re.fullmatch(r" {2}meltica ([a-z-]+)( .*?)?  +(\S.*)", text) or fail(f"meltica --help: {text!r}")
        commands.append((found.group(1), found.group(3)))
    usages = {name: usage_of(said(program, name, "--help")) for name, _ in commands}
    counted = collections.Counter(words[-1] for words, _ in usages.values() if len(words) > 1)
    shared = counted.most_common(1)[0][0]
    if "--nats-url" not in shared:
        fail(f"what many commands share are no options of the connection: {shared!r}")
    page = begin("meltica", 1, version, "the command line tool of Meltica: follow, check and steer canonical market data")
    heading(page, "SYNOPSIS")
    synopsis(page, "meltica", "COMMAND [arguments]")
    page.append(".br")
    synopsis(page, "meltica", "COMMAND --help | --version")
    heading(page, "DESCRIPTION")
    page += [line("Follows what Meltica publishes on NATS, checks it, steers what flows, and looks at an installation."), ".P",
             line("Commands that need NATS take the options of CONNECTION too.")]
    heading(page, "COMMANDS")
    for name, summary in commands:
        words, rest = usages[name]
        connected = words[-1] == shared
        text = " ".join(words[:-1] if connected else words)
        if not text.startswith(f"meltica {name}"):
            fail(f"meltica {name} --help is of {text!r}")
        page.append(f'.SS "{roff(name)}"')
        page += [line(summary[0].upper() + summary[1:] + "."), ".P"]
        synopsis(page, f"meltica {name}", text[len(f"meltica {name}"):].strip() + (" [CONNECTION]" if connected else ""))
        blocks(page, rest)
    heading(page, "CONNECTION")
    synopsis(page, "", shared)
    page += [".P", line("A user name, NKey or credentials file as NATS knows them; without --nats-url it is MELTICA_NATS_URL, "
                        "then NATS_URL, then nats://127.0.0.1:4222.")]
    return finish(page, TOOL_STATUS, options.docs, others)


def simulator_page(name, program, version, options, others):
    words, rest = usage_of(said(program, "--help"))
    page = begin(name, 1, version, "an exchange with Binance's public market data, for tests and try-outs")
    heading(page, "SYNOPSIS")
    synopsis(page, name, " ".join(words)[len(name):].strip())
    heading(page, "DESCRIPTION")
    at = next((i for i, text in enumerate(rest) if text == ""), None) or fail(f"{name} --help has no options")
    blocks(page, rest[:at])
    heading(page, "OPTIONS")
    blocks(page, rest[at + 1:])
    return finish(page, TOOL_STATUS, options.docs, others)


def main():
    parser = argparse.ArgumentParser()
    for name in ("version", "docs", "config", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("programs", nargs="+")
    options = parser.parse_args()
    programs = {os.path.basename(program): program for program in options.programs}
    tools = ("meltica", "meltica-exchange-sim")
    sections = {name: 1 if name in tools else 8 for name in sorted(programs)}
    services = {name: service_help(programs[name]) for name in sections if sections[name] == 8}
    common = set.intersection(*({item.flag for item in found[2]} for found in services.values()))
    os.makedirs(options.out, exist_ok=True)
    for name, section in sections.items():
        others = [(other, s) for other, s in sorted(sections.items(), key=lambda pair: (pair[1], pair[0])) if other != name]
        if name in services:
            text = service_page(name, services[name], common, options.version, options, others)
        elif name == "meltica":
            text = tool_page(programs[name], options.version, options, others)
        else:
            text = simulator_page(name, programs[name], options.version, options, others)
        with open(os.path.join(options.out, f"{name}.{section}.gz"), "wb") as file:
            file.write(gzip.compress(text.encode("ascii"), mtime=0))


main()
