#!/usr/bin/env python3
"""Every program given was built hardened: what docs/security.md promises, read from the programs themselves.

usage: hardening.py COMPILE_COMMANDS PROGRAM...
"""
import json
import re
import subprocess
import sys

COMPILED = ["-fstack-protector-strong", "-fstack-clash-protection"]
BRANCHES = {"x86_64": ["-fcf-protection=full"], "aarch64": ["-mbranch-protection=standard"]}
FORTIFIED = re.compile(r" __\w+_chk(@|$)", re.M)


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def producers(program):
    """How each object of a program was compiled, as its debug information says; C only."""
    text = run("readelf", "--debug-dump=info", "--dwarf-depth=1", "-W", program)
    return re.findall(r"DW_AT_producer\s*:.*?(GNU C.*)", text)


def check(program, architecture):
    faults = []

    def need(holds, what):
        if not holds:
            faults.append(f"{program}: {what}")

    header = run("readelf", "-hW", program)
    segments = run("readelf", "-lW", program)
    dynamic = run("readelf", "-dW", program)
    symbols = run("readelf", "-W", "--dyn-syms", program)
    need(re.search(r"Type:\s+DYN", header) and re.search(r"FLAGS_1.*\bPIE\b", dynamic), "no PIE: link with -pie")
    need("GNU_RELRO" in segments, "no RELRO: link with -z relro")
    need(re.search(r"FLAGS\).*BIND_NOW|FLAGS_1\).*\bNOW\b", dynamic), "lazy binding: link with -z now")
    stack = re.search(r"GNU_STACK\s.*?\s(R?W?E?)\s+0x\w+$", segments, re.M)
    need(stack and "E" not in stack.group(1), "an executable stack")
    need(not re.search(r"LOAD\s.*\sRWE\s", segments), "memory that is writable and executable")
    need(not re.search(r"\((RPATH|RUNPATH)\)", dynamic), "a path of libraries in the program")
    need("(TEXTREL)" not in dynamic, "relocations in its code")
    need("__stack_chk_fail" in symbols, "no stack protector")
    need(FORTIFIED.search(symbols), "no call is fortified: compile with -D_FORTIFY_SOURCE=3")
    units = producers(program)
    need(units, "no debug information to read the compiler's options from")
    for option in COMPILED + BRANCHES.get(architecture, []):
        without = [unit for unit in units if option not in unit.split()]
        need(not without, f"{len(without)} of {len(units)} objects compiled without {option}")
    return faults


def check_commands(path):
    """The level of _FORTIFY_SOURCE is in no program: a lower one has the same checked calls, only fewer."""
    with open(path, encoding="utf-8") as file:
        commands = json.load(file)
    without = [c["file"] for c in commands if re.findall(r"-D_FORTIFY_SOURCE=(\d)", c["command"])[-1:] != ["3"]]
    faults = [f"{file}: compiled without -D_FORTIFY_SOURCE=3" for file in without]
    return faults if commands else ["no commands in " + path]


def main():
    architecture = run("uname", "-m").strip()
    faults = check_commands(sys.argv[1])
    faults += [fault for program in sys.argv[2:] for fault in check(program, architecture)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(sys.argv) - 2} programs, {len(faults)} faults")
    sys.exit(1 if faults or len(sys.argv) < 3 else 0)


main()
