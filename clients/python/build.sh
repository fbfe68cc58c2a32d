#!/bin/sh
# The packages in a virtual environment, and the code of the wire contract by protoc.
set -eu
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
mkdir -p gen
protoc --python_out=gen -I ../../proto meltica/v1/event.proto
