#!/bin/sh
# The code of the wire contract by protoc and protoc-gen-c, then the program.
set -eu
cd "$(dirname "$0")"
mkdir -p bin gen
protoc --c_out=gen -I ../../proto meltica/v1/event.proto
${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wconversion -Werror ${CFLAGS:-} -o bin/client main.c book.c -isystem gen \
    gen/meltica/v1/event.pb-c.c $(pkg-config --cflags --libs libnats libprotobuf-c libcjson)
