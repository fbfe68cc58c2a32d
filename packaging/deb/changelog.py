#!/usr/bin/env python3
"""Writes the package's changelog as Debian wants it, one entry a release of CHANGELOG.md, which has the words.

usage: changelog.py CHANGELOG VERSION MAINTAINER OUT
"""
import datetime
import email.utils
import gzip
import re
import sys


def main(source, version, maintainer, out):
    with open(source, encoding="utf-8") as file:
        released = re.findall(r"^## (\d+\.\d+\.\d+) (\d{4}-\d\d-\d\d)$", file.read(), re.M)
    if version not in (number for number, _ in released):  # a try before the release
        released.insert(0, (version, "1970-01-01"))
    entries = []
    for number, day in released:
        when = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.timezone.utc)
        entries.append(f"meltica ({number}) {'UNRELEASED' if when.year == 1970 else 'trixie'}; urgency=medium\n\n"
                       f"  * /usr/share/doc/meltica/CHANGELOG.md says what is new.\n\n"
                       f" -- {maintainer}  {email.utils.format_datetime(when)}\n")
    with open(out, "wb") as file:
        file.write(gzip.compress("\n".join(entries).encode(), mtime=0))


main(*sys.argv[1:])
