#!/bin/sh
here=$(dirname "$0")
PYTHONPATH="$here/gen" exec "$here/.venv/bin/python" "$here/client.py" "$@"
