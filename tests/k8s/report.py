"""What a proof saw, as a page: docs/reports/k8s-<date>.md."""

import datetime
import os
import pathlib
import platform
import subprocess
import time


def table(head, rows):
    """Lines of a table; nothing of no rows."""
    if not rows:
        return []
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return ["| " + " | ".join(row) + " |" for row in cells] + [""]


def git(root, *words):
    result = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def commit(root):
    """Which sources these are."""
    found = git(root, "rev-parse", "HEAD")
    return found + (" with changes" if found and git(root, "status", "--porcelain", "--", ".", ":!docs/reports") else "") if found else "no repository"


class Step:
    """One look at all channels, after something was done."""

    def __init__(self, what, seconds, channels, before):
        self.what, self.seconds = what, seconds
        self.positions = channels.positions()
        totals = {name: channels.total(name) for name in ("events", "repeats", "epochs", "lost")}
        totals["holes"] = len(channels.holes)
        totals["duplicates"] = len(channels.duplicates)
        self.totals = totals
        self.since = {name: value - (before.totals[name] if before else 0) for name, value in totals.items()}
        self.moved = sum(before is None or before.positions.get(key) != here for key, here in self.positions.items())


class Report:
    def __init__(self, root):
        self.root, self.begin = pathlib.Path(root), time.monotonic()
        self.day = datetime.datetime.now(datetime.timezone.utc)
        self.facts, self.objects, self.rollouts, self.steps, self.lines, self.memory = [], [], [], [], [], []
        self.channels, self.failure = None, None

    def say(self, text):
        """To who waits for it, and into the report."""
        line = f"{time.monotonic() - self.begin:7.1f} s  {text}"
        print(line, flush=True)
        self.lines.append(line)

    def fact(self, name, value):
        self.facts.append((name, value))

    def saw(self, items):
        """The objects of the release, as the API server has them."""
        kinds = {}
        for item in items:
            kinds.setdefault(item["kind"], []).append(item["metadata"]["name"])
        self.objects = [(kind, len(names), ", ".join(f"`{name}`" for name in sorted(names))) for kind, names in sorted(kinds.items())]

    def rollout(self, what, ready):
        """{workload: seconds until all its pods were ready}"""
        self.rollouts.append((what, f"{max(ready.values()):.1f} s", ", ".join(f"{name} {seconds:.1f}" for name, seconds in sorted(ready.items(), key=lambda item: item[1]))))

    def step(self, what, seconds, channels):
        self.channels = channels
        self.steps.append(Step(what, seconds, channels, self.steps[-1] if self.steps else None))
        return self.steps[-1]

    # ---- the page ----

    def gap_lines(self):
        rows = [(number, step.what, "" if step.seconds is None else f"{step.seconds:.1f} s", len(step.positions), step.moved,
                 step.since["events"], step.since["repeats"], step.since["epochs"], step.since["holes"], step.since["duplicates"], step.since["lost"])
                for number, step in enumerate(self.steps, 1)]
        return table(("", "after", "ready again", "channels", "moved", "events", "repeats", "new epochs", "holes", "duplicates", "LOST"), rows)

    def sequence_lines(self):
        """Of each channel where it stood after each step: epoch (counted from the first that was seen) and sequence."""
        if not self.steps:
            return []
        epochs, rows = {}, []
        for step in self.steps:
            for key, (epoch, _) in step.positions.items():
                seen = epochs.setdefault(key, [])
                if epoch not in seen:
                    seen.append(epoch)
        for key in sorted(epochs):
            channel = self.channels.of[key]
            here = [f"{epochs[key].index(step.positions[key][0]) + 1}/{step.positions[key][1]}" if key in step.positions else "" for step in self.steps]
            rows.append((f"{key[0]} {key[1]}", *here, channel.holes, channel.lost))
        unnamed = [(f"{key[0]} {key[1]}", *[""] * len(self.steps), channel.holes, channel.lost)
                   for key, channel in sorted(self.channels.of.items()) if channel.last is None]
        return table(("channel", *map(str, range(1, len(self.steps) + 1)), "holes", "LOST"), rows + unnamed)

    def text(self):
        seconds = time.monotonic() - self.begin
        what = "a node with real services" if self.steps or any(name == "kubelet" for name, _ in self.facts) else "the API alone"
        lines = [f"# Kubernetes, {self.day:%Y-%m-%d}", "", f"The chart helm/meltica on a Kubernetes of one machine, {what}: **{'failed' if self.failure else 'all of it held'}**, {seconds:.0f} s, "
                 f"begun {self.day:%Y-%m-%d %H:%M} UTC. Made by `./dev k8s` (docs/deployment.md, \"On Kubernetes\").", ""]
        if self.failure:
            lines += ["```", self.failure, "```", ""]
        facts = [("commit", commit(self.root)), ("machine", f"{os.cpu_count()} CPUs, kernel {platform.release()}"), *self.facts]
        lines += ["## Versions", "", *table(("what", "version"), facts)]
        if self.objects:
            lines += ["## Objects", "", "After `helm install`, as the API server lists them:", "", *table(("kind", "", "names"), self.objects)]
        if self.rollouts:
            lines += ["## Rollouts", "", "Seconds from the command until every pod of a workload was ready and of its newest template.", "", *table(("what", "all", "each"), self.rollouts)]
        if self.steps:
            lines += ["## Gaps", "", "One consumer in a pod read every channel from the first line to the last. Since the line above: events that were new to it, repeats (which a consumer ignores), "
                      "new epochs of channels, holes (sequences that are missing, also where nothing follows them, and ends that nobody knows), duplicates "
                      "(a trade or a delta of the exchange's that came under a second number), and what was said as LOST.", "",
                      *self.gap_lines(), "Sequences of every channel after each of these (epoch, counted from the first that was seen, and sequence):", "", *self.sequence_lines()]
        if self.memory:
            lines += ["## Peak memory", "", *table(("process", "MiB"), self.memory)]
        lines += ["## What was done", "", "```", *self.lines, "```", ""]
        return "\n".join(lines)

    def write(self, path):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(), encoding="utf-8")
