#!/bin/sh
# Maven fetches protoc as well, of the version of the runtime.
set -eu
cd "$(dirname "$0")"
mvn --batch-mode --quiet process-classes
