"""What the proof's consumer takes for a hole and what it does not, and what the report says of it; no cluster is needed."""

import io
import pathlib
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from consumer import Channels  # noqa: E402
from report import Report  # noqa: E402


def event(type_of, epoch, sequence, instrument="SYM0001-USDT", position=None, **status):
    """position: the exchange's; by itself each event has another one."""
    return {"type": type_of, "instrument": instrument, "epoch": str(epoch), "sequence": str(sequence),
            "source": {"last": str(epoch * 1000 + sequence if position is None else position)}, **({"status": status} if status else {})}


def head(kind, sequence):
    return {"type": kind, "sequence": str(sequence), "last": "0"}


def of(*events):
    channels = Channels()
    for item in events:
        channels.take(item)
    return channels


class Holes(unittest.TestCase):
    def test_none_where_all_is_there(self):
        channels = of(event("TRADE", 7, 41), event("BOOK", 7, 3), event("TRADE", 7, 42), event("TRADE", 7, 41), event("TRADE", 7, 43))
        self.assertEqual((channels.holes, channels.total("events"), channels.total("repeats")), ([], 4, 1))
        self.assertEqual(channels.positions(), {("SYM0001-USDT", "TRADE"): (7, 43), ("SYM0001-USDT", "BOOK"): (7, 3)})

    def test_a_jump_is_one_of_its_channel(self):
        channels = of(event("TRADE", 7, 41), event("BOOK", 7, 3), event("TRADE", 7, 43), event("BOOK", 7, 4))
        self.assertEqual(len(channels.holes), 1)
        self.assertIn("SYM0001-USDT TRADE: sequences are missing: (7, 41), then (7, 43)", channels.holes[0])
        self.assertEqual((channels.of[("SYM0001-USDT", "TRADE")].holes, channels.of[("SYM0001-USDT", "BOOK")].holes), (1, 0))

    def test_a_lost_last_event_is_found_where_nothing_follows(self):
        for sequence, holes in ((42, 0), (43, 1)):
            channels = of(event("TRADE", 7, 42), event("STATUS", 7, 0, kind="HEADS", heads=[head("TRADE", sequence), head("KLINE", 9)]))
            self.assertEqual(len(channels.holes), holes)

    def test_a_notice_of_another_instrument_says_nothing(self):
        channels = of(event("TRADE", 7, 42), event("STATUS", 7, 0, instrument="SYM0002-USDT", kind="HEADS", heads=[head("TRADE", 90)]))
        self.assertEqual(channels.holes, [])

    def test_a_new_epoch_begins_with_one_and_names_where_the_one_before_ended(self):
        def began(previous, ended, first):
            return of(event("TRADE", 7, 42), event("STATUS", 8, 1, kind="EPOCH_STARTED", previous_epoch=str(previous), heads=[head("TRADE", ended)]), event("TRADE", 8, first))
        channels = began(7, 42, 1)
        self.assertEqual((channels.holes, channels.total("epochs")), ([], 1))
        self.assertIn("the end is missing", began(7, 43, 1).holes[0])
        self.assertIn("does not begin with 1", began(7, 42, 2).holes[0])
        self.assertIn("not known", began(6, 42, 1).holes[0])
        self.assertIn("not known", began(0, 42, 1).holes[0])

    def test_a_channel_that_rested_for_an_epoch_is_no_unknown_end(self):
        channels = of(event("KLINE", 7, 5), event("STATUS", 7, 1, kind="LIVE"), event("STATUS", 8, 1, kind="EPOCH_STARTED", previous_epoch="7", heads=[head("KLINE", 5)]),
                      event("STATUS", 9, 1, kind="EPOCH_STARTED", previous_epoch="8", heads=[head("STATUS", 1)]), event("KLINE", 9, 1))
        self.assertEqual(channels.holes, [])

    def test_what_is_said_to_be_lost_is_counted(self):
        channels = of(event("TRADE", 7, 42), event("STATUS", 7, 0, kind="LOST", lost_type="TRADE", first="43", last="45"), event("STATUS", 7, 3, kind="LOST", first="0", last="0"))
        self.assertEqual((channels.of[("SYM0001-USDT", "TRADE")].lost, channels.total("lost"), len(channels.notices)), (3, 4, 2))


class Duplicates(unittest.TestCase):
    def test_a_repeat_is_none(self):
        channels = of(event("TRADE", 7, 41, position=5), event("TRADE", 7, 42, position=6), event("TRADE", 7, 41, position=5), event("TRADE", 7, 42, position=6))
        self.assertEqual((channels.duplicates, channels.total("repeats")), ([], 2))

    def test_the_same_under_another_number_is_one(self):
        for second in (event("TRADE", 7, 42, position=5), event("TRADE", 8, 1, position=5)):
            channels = of(event("TRADE", 7, 41, position=5), second)
            self.assertEqual(len(channels.duplicates), 1)
            self.assertIn("SYM0001-USDT TRADE: 5 again", channels.duplicates[0])

    def test_each_channel_has_its_own_positions(self):
        channels = of(event("TRADE", 7, 1, position=5), event("AGG_TRADE", 7, 1, position=5), event("TRADE", 7, 1, instrument="SYM0002-USDT", position=5))
        self.assertEqual(channels.duplicates, [])

    def test_a_book_may_be_said_again_by_a_new_owner(self):
        self.assertEqual(of(event("BOOK", 7, 3, position=5), event("BOOK", 8, 1, position=5)).duplicates, [])


class Pages(unittest.TestCase):
    def page(self, failure=None):
        report, channels = Report(pathlib.Path(__file__).parents[2]), Channels()
        with redirect_stdout(io.StringIO()):
            report.say("installed")
        report.fact("Kubernetes", "v1")
        report.saw([{"kind": "Service", "metadata": {"name": "b"}}, {"kind": "Service", "metadata": {"name": "a"}}])
        report.rollout("install", {"meltica-nats": 2.04, "meltica-adapter": 1.0})
        for item in (event("TRADE", 7, 1), event("TRADE", 7, 2), event("BOOK", 7, 1)):
            channels.take(item)
        report.step("at rest", None, channels)
        for item in (event("TRADE", 8, 1), event("TRADE", 8, 3, position=7001), event("STATUS", 8, 0, kind="LOST", lost_type="KLINE", first="1", last="2")):
            channels.take(item)
        report.step("pod x deleted", 3.0, channels)
        report.failure = failure
        with tempfile.TemporaryDirectory() as folder:
            report.write(pathlib.Path(folder) / "reports" / "k8s.md")
            return (pathlib.Path(folder) / "reports" / "k8s.md").read_text()

    def test_each_step_says_what_it_changed(self):
        lines = self.page().splitlines()
        self.assertIn("| 1 | at rest |  | 2 | 2 | 3 | 0 | 0 | 0 | 0 | 0 |", lines)
        self.assertIn("| 2 | pod x deleted | 3.0 s | 2 | 1 | 2 | 0 | 1 | 1 | 1 | 2 |", lines)

    def test_each_channel_says_where_it_stood(self):
        lines = self.page().splitlines()
        self.assertIn("| SYM0001-USDT TRADE | 1/2 | 2/3 | 1 | 0 |", lines)
        self.assertIn("| SYM0001-USDT BOOK | 1/1 | 1/1 | 0 | 0 |", lines)
        self.assertIn("| SYM0001-USDT KLINE |  |  | 0 | 2 |", lines)

    def test_what_was_there(self):
        text = self.page()
        self.assertIn("**all of it held**", text)
        for line in ("| Service | 2 | `a`, `b` |", "| install | 2.0 s | meltica-adapter 1.0, meltica-nats 2.0 |", "| Kubernetes | v1 |"):
            self.assertIn(line, text.splitlines())

    def test_a_failure_is_said_first(self):
        text = self.page("three holes")
        self.assertIn("**failed**", text.splitlines()[2])
        self.assertLess(text.index("three holes"), text.index("## Versions"))


if __name__ == "__main__":
    unittest.main()
