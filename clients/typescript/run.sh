#!/bin/sh
exec node "$(dirname "$0")/dist/main.js" "$@"
