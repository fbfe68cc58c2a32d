"""A consumer of every channel, by the rules of docs/wire-format.md alone: what it counts is what is claimed of the release."""

import json
import subprocess

from cluster import Failed, wait_for

WHERE = "market"
BUSY = ("TRADE", "BOOK_DELTA", "BOOK")  # channels that never rest while the exchange sends
ONCE = ("TRADE", "AGG_TRADE", "BOOK_DELTA")  # each position of the exchange's is an event once, under one number


class Channel:
    """What was seen of (instrument, type)."""

    def __init__(self):
        self.first = self.last = None  # (epoch, sequence)
        self.positions = set()  # of the exchange's, of those that come once
        self.events = self.repeats = self.epochs = self.holes = self.lost = 0


class Channels:
    """All channels, and what is wrong with them: holes that nobody named, ends of epochs that nobody knows, events under a second number, LOST."""

    def __init__(self):
        self.of = {}
        self.holes, self.duplicates, self.notices = [], [], []

    def channel(self, instrument, kind):
        return self.of.setdefault((instrument, kind), Channel())

    def hole(self, key, channel, before, here, why):
        channel.holes += 1
        self.holes.append(f"{key[0]} {key[1]}: {why}: {before}, then {here}")

    def heads(self, event, epoch):
        """Where channels stood: what is above what came has not come, also where nothing follows it."""
        for head in event["status"].get("heads", []):
            key = (event["instrument"], head["type"])
            channel = self.of.get(key)
            if channel is None or channel.last is None or channel.last[0] != epoch:
                continue
            if int(head["sequence"]) > channel.last[1]:
                self.hole(key, channel, channel.last, (epoch, int(head["sequence"])), "the end is missing")
                channel.last = (epoch, int(head["sequence"]))

    def epoch_started(self, event):
        """The owner before ended where it says, if it is the one that was seen last."""
        previous, instrument = int(event["status"].get("previous_epoch", 0)), event["instrument"]
        seen = {key: channel for key, channel in self.of.items() if key[0] == instrument and channel.last is not None}
        newest = max((channel.last[0] for channel in seen.values()), default=previous)
        for key, channel in seen.items():
            if channel.last[0] == newest != previous:
                self.hole(key, channel, channel.last, (int(event["epoch"]), 1), f"the end of this epoch is not known, the one before was {previous}")
        self.heads(event, previous)

    def once(self, event, key, channel):
        """A repeat has the number that it had; with a new one a consumer would take it for another event."""
        position = event["source"]["last"]
        if position in channel.positions:
            self.duplicates.append(f"{key[0]} {key[1]}: {position} again, as {channel.last}")
        channel.positions.add(position)

    def lost(self, event):
        """Counted where it belongs: as many as it names, one where they had no numbers yet."""
        status = event["status"]
        first, last = int(status.get("first", 0)), int(status.get("last", 0))
        kind = status.get("lost_type", "UNSPECIFIED")
        channel = self.channel(event["instrument"], "(any)" if kind == "UNSPECIFIED" else kind)
        channel.lost += last - first + 1 if 0 < first <= last else 1
        self.notices.append(event)

    def take(self, event):
        status = event["status"] if event["type"] == "STATUS" else {}
        here = (int(event["epoch"]), int(event["sequence"]))
        if here[1] == 0:  # a notice, of no channel
            if status.get("kind") == "LOST":
                self.lost(event)
            elif status.get("kind") == "HEADS":
                self.heads(event, here[0])
            return
        key = (event["instrument"], event["type"])
        channel = self.channel(*key)
        before = channel.last
        if before is not None and here <= before:
            channel.repeats += 1
            return
        if status.get("kind") == "EPOCH_STARTED":
            self.epoch_started(event)
            before = channel.last
        if before is None:
            channel.first = here
        elif here[0] == before[0] and here[1] != before[1] + 1:
            self.hole(key, channel, before, here, "sequences are missing")
        elif here[0] > before[0]:
            channel.epochs += 1
            if here[1] != 1:
                self.hole(key, channel, before, here, "the epoch does not begin with 1")
        channel.last = here
        channel.events += 1
        if key[1] in ONCE:
            self.once(event, key, channel)
        if status.get("kind") == "LOST":
            self.lost(event)

    def positions(self):
        return {key: channel.last for key, channel in self.of.items() if channel.last is not None}

    def total(self, what):
        return sum(getattr(channel, what) for channel in self.of.values())


class Consumer:
    """A pod that reads every channel from the beginning of the proof to its end; what it prints is followed here."""

    def __init__(self, cluster):
        self.cluster, self.channels = cluster, Channels()
        spec = cluster.get("pod", "meltica-test-event", "-n", WHERE)["spec"]
        container = {key: spec["containers"][0][key] for key in ("name", "image", "imagePullPolicy", "securityContext", "resources", "command")}
        arguments = spec["containers"][0]["args"]
        at = arguments.index("--count")
        container["args"] = arguments[:at] + arguments[at + 2:]
        labels = {"app.kubernetes.io/name": "meltica", "app.kubernetes.io/instance": "meltica", "app.kubernetes.io/component": "test"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "consumer", "labels": labels},
               "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "enableServiceLinks": False, "automountServiceAccountToken": False,
                        "securityContext": spec["securityContext"], "containers": [container]}}
        cluster.kubectl("apply", "-n", WHERE, "-f", "-", given=json.dumps(pod))
        cluster.kubectl("wait", "-n", WHERE, "pod/consumer", "--for=condition=Ready", "--timeout=60s")
        self.path = cluster.work / "consumer.json"
        with open(self.path, "wb") as out, open(cluster.work / "consumer.log", "wb") as log:
            command = [str(cluster.programs / "kubectl"), "--kubeconfig", str(cluster.config), "logs", "--follow", "-n", WHERE, "consumer"]
            self.follower = cluster.processes["consumer"] = subprocess.Popen(command, stdout=out, stderr=log)
        self.file, self.rest = open(self.path, "rb"), b""  # pylint: disable=consider-using-with

    def read(self):
        """Takes what has come since; returns the channels."""
        if self.follower.poll() is not None:
            raise Failed(f"the consumer's log ended with {self.follower.returncode}: {(self.cluster.work / 'consumer.log').read_text()[-500:]}")
        lines = (self.rest + self.file.read()).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if line.startswith(b"{"):
                self.channels.take(json.loads(line))
        return self.channels

    def flows(self, more):
        """Events go on: as many more as asked for came, and each of the busy channels moved."""
        begin, before = self.read().total("events"), self.channels.positions()
        busy = [key for key in before if key[1] in BUSY]

        def moved():
            now = self.read().positions()
            return self.channels.total("events") >= begin + more and all(now[key] > before[key] for key in busy)
        try:
            wait_for(f"{more} more events, and of each busy channel one", moved, 120)
        except Failed as failure:
            still = [f"{key[0]} {key[1]}" for key in busy if self.channels.positions()[key] <= before[key]]
            raise Failed(f"{failure}: {self.channels.total('events') - begin} came, silent are {still}") from failure

    def close(self):
        self.cluster.processes.pop("consumer", None)
        self.follower.terminate()
        self.follower.wait()
        self.file.close()
        self.cluster.kubectl("delete", "pod", "consumer", "-n", WHERE)
