#!/bin/sh
# The packages that the lockfile pins, the code of the wire contract by protoc, then the program.
set -eu
cd "$(dirname "$0")"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund
mkdir -p src/gen
protoc --plugin=node_modules/.bin/protoc-gen-es -I ../../proto --es_out=src/gen --es_opt=target=ts,import_extension=js \
    meltica/v1/event.proto
npx tsc
