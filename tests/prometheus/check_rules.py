#!/usr/bin/env python3
"""Rules, their tests, their runbook and the dashboards belong together: finds what lacks its other half.

usage: check_rules.py SOURCE_DIR; prints each finding, exit status 1 when there is one.
"""
import json
import pathlib
import re
import sys


def alerts(text):
    """Name, severity, summary and runbook of each alert, as alerting.yaml writes them."""
    for part in re.split(r"(?m)^ *- alert: ", text)[1:]:
        yield {
            "name": part.split("\n", 1)[0].strip(),
            "severity": (re.search(r"severity: (\w+)", part) or [None, ""])[1],
            "summary": (re.search(r"summary: '(.+)'", part) or [None, ""])[1],
            "runbook": (re.search(r"runbook: (\S+)", part) or [None, ""])[1],
        }


def check_alerts(root, wrong):
    rules = (root / "helm/meltica/files/rules/alerting.yaml").read_text()
    tests = (root / "tests/prometheus/alerting_test.yaml").read_text()
    runbook = (root / "docs/operations.md").read_text()
    names = set()
    for alert in alerts(rules):
        name = alert["name"]
        names.add(name)
        if alert["severity"] not in ("page", "ticket"):
            wrong(f"{name}: severity is page or ticket, not {alert['severity']!r}")
        if not alert["summary"]:
            wrong(f"{name}: no summary")
        if alert["runbook"] != f"docs/operations.md#{name.lower()}":
            wrong(f"{name}: its runbook is {alert['runbook']!r}")
        row = re.search(rf'(?m)^\| <a id="{name.lower()}"></a>{name} \((\w+)\) \| (.+) \| (.+) \|$', runbook)
        if row is None:
            wrong(f"{name}: docs/operations.md has no line for it")
        elif row[1] != alert["severity"]:
            wrong(f"{name}: docs/operations.md calls it {row[1]}")
        if not re.search(rf"(?m)^ +alertname: {name}\n +exp_alerts:\n +- ", tests):
            wrong(f"{name}: no test makes it fire")
        if not re.search(rf"(?m)^ +alertname: {name}\n +exp_alerts: \[\]", tests):
            wrong(f"{name}: no test shows it quiet")
    for name in re.findall(r'<a id="\w+"></a>(\w+)', runbook):
        if name not in names:
            wrong(f"docs/operations.md has a line for {name}, which is no alert")
    if not names:
        wrong("no alerts were found")


def check_dashboards(root, wrong):
    found = {}
    for path in sorted((root / "helm/meltica/files/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        if board["uid"] in found:
            wrong(f"{path.name} has the uid of {found[board['uid']]}")
        found[board["uid"]] = path.name
        ids = [panel["id"] for panel in board["panels"]]
        if len(ids) != len(set(ids)):
            wrong(f"{path.name}: two panels with one id")
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
            if place["x"] + place["w"] > 24 or cells & taken:
                wrong(f"{path.name}: {panel['title']} lies over another panel, or beside the grid")
            taken |= cells
            if not panel["targets"] or any(not target["expr"] for target in panel["targets"]):
                wrong(f"{path.name}: {panel['title']} shows nothing")
            if any(target["datasource"]["uid"] != "${datasource}" for target in panel["targets"]):
                wrong(f"{path.name}: {panel['title']} is bound to one data source")
    if set(found.values()) != {"overview.json", "instrument.json", "control.json", "nats.json"}:
        wrong(f"the dashboards are {sorted(found.values())}")


def main():
    root = pathlib.Path(sys.argv[1])
    findings = []
    check_alerts(root, findings.append)
    check_dashboards(root, findings.append)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
