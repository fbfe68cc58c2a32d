#!/bin/sh
here=$(dirname "$0")
exec java -cp "$here/target/classes:$here/target/lib/*" client.Main "$@"
