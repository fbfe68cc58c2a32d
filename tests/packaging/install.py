#!/usr/bin/env python3
"""What is installed: into a folder of its own, all of it there, and every program says its version.

usage: install.py CMAKE BUILD PREFIX VERSION
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAMS = ["meltica", "meltica-adapter", "meltica-conductor", "meltica-control-bus", "meltica-data-bus",
            "meltica-console", "meltica-dispatcher", "meltica-exchange-sim"]
SERVICES = [p for p in PROGRAMS if p not in ("meltica", "meltica-console", "meltica-exchange-sim")]  # with a unit
FILES = ["share/meltica/dispatch.json", "share/meltica/dispatch-all.json", "share/meltica/policy.json",
         "share/meltica/meltica-v1.desc", "share/meltica/proto/meltica/v1/event.proto", "share/doc/meltica/SECURITY.md",
         "share/doc/meltica/wire-format.md", "share/doc/meltica/security.md", "share/doc/meltica/schema/policy.json",
         "share/man/man1/meltica.1.gz", "share/man/man8/meltica-adapter.8.gz", "lib/sysusers.d/meltica.conf",
         "lib/systemd/system/meltica.target"] + [f"lib/systemd/system/{s}.service" for s in SERVICES]
# Without these a unit is not worth its name.
OPTIONS = ["DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes",
           "PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "SystemCallFilter=@system-service",
           "LimitCORE=0", "Restart=on-failure", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"]
EXPOSURE_MAX = 2.0  # of systemd-analyze security, from 0 to 10


def fail(what):
    sys.exit("install: " + what)


def run(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, **options)


def check_programs(root, version):
    found = sorted(os.listdir(os.path.join(root, "bin")))
    if found != sorted(PROGRAMS):
        fail(f"programs are {found}: name in PROGRAMS what is installed")
    for program in PROGRAMS:
        answer = run(os.path.join(root, "bin", program), "--version")
        if answer.returncode != 0 or answer.stdout != f"{program} {version}\n":
            fail(f"{program} --version: status {answer.returncode}, {answer.stdout!r} {answer.stderr!r}")


def check_unit(path, root, prefix):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.splitlines()
    start = [line.split("=", 1)[1] for line in lines if line.startswith("ExecStart=")]
    if len(start) != 1 or not start[0].startswith(prefix + "/bin/") or "@CMAKE" in text or "@MELTICA" in text:
        fail(f"{path}: ExecStart is {start}")
    if not os.access(os.path.join(root, start[0][len(prefix) + 1:]), os.X_OK):
        fail(f"{path}: {start[0]} is not installed")
    missing = [option for option in OPTIONS if option not in lines]
    if missing:
        fail(f"{path}: without {missing}")


def check_systemd(units, root, prefix):
    """systemd's own judgement, where there is a systemd. It looks for the programs, so they are named where they are."""
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: units are checked for their words alone")
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for unit in units:
            with open(unit, encoding="utf-8") as file:
                text = file.read().replace(f"ExecStart={prefix}/bin/", f"ExecStart={root}/bin/")
            text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
            copies.append(os.path.join(folder, os.path.basename(unit)))
            with open(copies[-1], "w", encoding="utf-8") as to:
                to.write(text)
        answer = run("systemd-analyze", "verify", "--man=no", *copies)
        complaints = [line for line in answer.stderr.splitlines() if "meltica" in line]
        if answer.returncode != 0 or complaints:
            fail(f"systemd-analyze verify: {answer.returncode} {answer.stderr}")
        for copy in copies:
            if copy.endswith(".target"):
                continue
            answer = run("systemd-analyze", "security", "--offline=true", "--no-pager",
                         f"--threshold={int(EXPOSURE_MAX * 10)}", copy)
            found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout + answer.stderr)
            if found is None or answer.returncode != 0:
                fail(f"systemd-analyze security: {answer.stdout[-400:]} {answer.stderr}")
            print(os.path.basename(copy), "exposure", found.group(1))


def main():
    cmake, build, prefix, version = sys.argv[1:]
    destination = tempfile.mkdtemp(prefix="meltica-install-")
    try:
        answer = run(cmake, "--install", build, env={**os.environ, "DESTDIR": destination})
        if answer.returncode != 0:
            fail(answer.stderr)
        root = destination + prefix
        top = prefix.split("/")[1]
        outside = [name for name in os.listdir(destination) if name != top]
        if outside:
            fail(f"something is installed outside of the prefix: {outside}")
        check_programs(root, version)
        for name in FILES:
            if not os.path.isfile(os.path.join(root, name)):
                fail(f"{name} is missing")
        units = [os.path.join(root, name) for name in FILES if name.endswith((".service", ".target"))]
        for unit in units:
            if unit.endswith(".service"):
                check_unit(unit, root, prefix)
        check_systemd(units, root, prefix)
    finally:
        shutil.rmtree(destination)
    print(f"{len(PROGRAMS)} programs, {len(FILES)} files")


main()
