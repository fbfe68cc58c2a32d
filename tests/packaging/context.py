#!/usr/bin/env python3
"""What .dockerignore leaves of the sources can be configured, so that the images can be built, without an engine.

usage: context.py CMAKE SOURCE
"""
import os
import shutil
import subprocess
import sys
import tempfile


def main(cmake, source):
    with open(os.path.join(source, ".dockerignore"), encoding="utf-8") as file:
        kept = [line[1:].strip() for line in file if line.startswith("!")]
    with tempfile.TemporaryDirectory() as folder:
        context = os.path.join(folder, "context")
        for path in kept:
            at, to = os.path.join(source, path), os.path.join(context, path)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            if os.path.isdir(at):
                shutil.copytree(at, to, ignore=shutil.ignore_patterns("node_modules"))
            else:
                shutil.copy(at, to)
        answer = subprocess.run([cmake, "-S", context, "-B", os.path.join(folder, "build"), "-DBUILD_TESTING=OFF"],
                                capture_output=True, text=True, timeout=110)
        if answer.returncode != 0:
            sys.exit(f"the context of the images cannot be configured: {answer.stderr}")
    print(len(kept), "paths of the context are enough")


main(*sys.argv[1:])
