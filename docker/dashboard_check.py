#!/usr/bin/env python3
"""dashboard_check.py PROMETHEUS DASHBOARD...: all five services are scraped, all rules can be evaluated, and each query of the dashboards gives a result."""
import json
import sys
import time
import urllib.parse
import urllib.request

SERVICES = {"adapter", "dispatcher", "conductor", "data-bus", "control-bus"}
PATIENCE_S = 60


def query(base, text):
    url = base + "/api/v1/query?" + urllib.parse.urlencode({"query": text})
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]["result"]


def unwell(base):
    with urllib.request.urlopen(base + "/api/v1/rules", timeout=5) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    return [rule["name"] for rule in rules if rule["health"] != "ok"] or ("no rules" if not rules else None)


def queries(path):
    with open(path, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def wait_for(what, done):
    """Scrapes come by themselves: asked again until it is so, or a minute is over."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            missing = done()
        except OSError as problem:
            missing = str(problem)
        if not missing:
            return
        if time.monotonic() > deadline:
            sys.exit(f"{what}: {missing}")
        time.sleep(1)


def main():
    base = sys.argv[1]
    wait_for("not scraped", lambda: SERVICES - {series["metric"]["service"] for series in query(base, 'meltica_build_info{job="meltica"}')})
    wait_for("rules that cannot be evaluated", lambda: unwell(base))
    for path in sys.argv[2:]:
        for title, text in queries(path):
            text = text.replace("$__rate_interval", "20s")
            wait_for(f'"{title}" is empty', lambda t=text: t if not query(base, t) else None)


main()
