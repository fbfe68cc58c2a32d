#!/bin/sh
# The code of the wire contract by protoc and the plugin that go.mod pins, then the program.
set -eu
cd "$(dirname "$0")"
mkdir -p bin gen
go build -o bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
protoc --plugin=bin/protoc-gen-go -I ../../proto --go_out=gen --go_opt=module=meltica.example/client/gen \
    --go_opt=Mmeltica/v1/event.proto=meltica.example/client/gen meltica/v1/event.proto
go build -o bin/client .
