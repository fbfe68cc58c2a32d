#!/bin/sh
exec "$(dirname "$0")/bin/client" "$@"
