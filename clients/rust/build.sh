#!/bin/sh
# prost-build calls protoc for the code of the wire contract.
set -eu
cd "$(dirname "$0")"
cargo build --quiet --release --locked
