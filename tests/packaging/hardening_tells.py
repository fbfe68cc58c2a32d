#!/usr/bin/env python3
"""hardening.py passes a program with all options, and none that was built without one of them.

usage: hardening_tells.py COMPILER HARDENING_PY
"""
import json
import os
import platform
import subprocess
import sys
import tempfile

SOURCE = """
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    char text[64];
    memcpy(text, argv[0], (size_t)argc * 8);
    return printf("%.8s", text) > 0 ? 0 : 1;
}
"""
COMPILE = ["-O2", "-g", "-fPIE", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong",
           "-fstack-clash-protection"]
LINK = ["-pie", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack"]
BRANCHES = {"x86_64": ("-fcf-protection", "-fcf-protection=none"),
            "aarch64": ("-mbranch-protection=standard", "-mbranch-protection=none")}


def judge(compiler, script, compile_options, link_options):
    with tempfile.TemporaryDirectory() as folder:
        source, thing, program = (os.path.join(folder, name) for name in ("a.c", "a.o", "a"))
        with open(source, "w", encoding="utf-8") as to:
            to.write(SOURCE)
        command = [compiler, *compile_options, "-c", source, "-o", thing]
        subprocess.run(command, check=True)
        subprocess.run([compiler, *link_options, thing, "-o", program], check=True)
        commands = os.path.join(folder, "compile_commands.json")
        with open(commands, "w", encoding="utf-8") as to:
            json.dump([{"file": source, "command": " ".join(command), "directory": folder}], to)
        answer = subprocess.run([sys.executable, script, commands, program], capture_output=True, text=True)
        return answer.returncode == 0, answer.stderr


def main():
    compiler, script = sys.argv[1:]
    branch, no_branch = BRANCHES.get(platform.machine(), (None, None))
    whole = COMPILE + ([branch] if branch else [])
    passes, words = judge(compiler, script, whole, LINK)
    assert passes, words

    def without(option, instead):
        return [instead if word == option else word for word in whole]

    weaker = {
        "no PIE": (without("-fPIE", "-fno-pie"), ["-no-pie", *LINK[1:]]),
        "lazy binding": (whole, ["-pie", "-Wl,-z,relro,-z,lazy", LINK[2]]),
        "no RELRO": (whole, ["-pie", "-Wl,-z,norelro,-z,now", LINK[2]]),
        "an executable stack": (whole, [*LINK[:2], "-Wl,-z,execstack"]),
        "a path of libraries": (whole, [*LINK, "-Wl,-rpath,/tmp"]),
        "no FORTIFY": (without("-D_FORTIFY_SOURCE=3", "-D_FORTIFY_SOURCE=0"), LINK),
        "a lower FORTIFY": (without("-D_FORTIFY_SOURCE=3", "-D_FORTIFY_SOURCE=2"), LINK),
        "no stack protector": (without("-fstack-protector-strong", "-fno-stack-protector"), LINK),
        "no probing of the stack": (without("-fstack-clash-protection", "-fno-stack-clash-protection"), LINK),
    }
    if branch:
        weaker["no landing pads"] = (without(branch, no_branch), LINK)
    for what, (compile_options, link_options) in weaker.items():
        passes, words = judge(compiler, script, compile_options, link_options)
        assert not passes and words, what
        print(f"{what}: {words.splitlines()[0].split(': ', 1)[1]}")
    print(f"{len(weaker)} told")


main()
