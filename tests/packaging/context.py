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
        lines = [line.strip() for line in file]
    # What lies in build/ is made by docker/build.sh, for one image alone.
    kept = [line[1:] for line in lines if line.startswith("!") and not line.startswith("!build/")]
    left_out = [line for line in lines if line and line[0] not in "!#*"]
    with tempfile.TemporaryDirectory() as folder:
        context = os.path.join(folder, "context")
        for path in kept:
            at, to = os.path.join(source, path), os.path.join(context, path)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            if os.path.isdir(at):
                shutil.copytree(at, to, ignore=shutil.ignore_patterns("node_modules"))
            else:
                shutil.copy(at, to)
        for path in left_out:
            shutil.rmtree(os.path.join(context, path))
        answer = subprocess.run([cmake, "-S", context, "-B", os.path.join(folder, "build"), "-DBUILD_TESTING=OFF"],
                                capture_output=True, text=True, timeout=110)
        if answer.returncode != 0:
            sys.exit(f"the context of the images cannot be configured: {answer.stderr}")
    print(len(kept), "paths of the context are enough")


main(*sys.argv[1:])
