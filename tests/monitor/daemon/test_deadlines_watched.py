from __future__ import annotations

import pytest

from monitor.daemon.deadlines import Watched
from monitor.intake.protocol import Behind
from monitor.snapshot import Snapshot


class Host:
    """A source, and the two clocks."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.names = ["app"]
        self.wall, self.steady = 1_800_000_000.0, 50.0
        self.watched = Watched(lambda: self.names, self.snapshot, now=lambda: self.wall, steady=lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def seconds(self) -> float | None:
        """For how long it is read without a gap, as is said now."""
        since = self.watched().get("app")
        return None if since is None else self.wall - since


def test_the_time_counts_from_when_it_was_first_looked_at() -> None:
    host = Host()
    assert host.seconds() == 0
    host.passes(100)
    assert host.seconds() == 100


@pytest.mark.parametrize("problem", ["degraded", "ended", "unread", "lag"])
def test_a_source_in_trouble_is_not_read_and_begins_anew_when_it_is_over(problem: str) -> None:
    host = Host()
    host.seconds()
    host.passes(100)
    snapshot = host.snapshot
    if problem == "degraded":
        snapshot.degraded["app", "a.log"] = "no permission"
    elif problem == "ended":
        host.names.clear()
    elif problem == "unread":
        snapshot.backlog["app"] = lambda: [Behind("a.log", 1, 61.0)]
    else:
        snapshot.lag["app"] = 61.0
    assert host.seconds() is None
    host.names[:] = ["app"]
    snapshot.degraded.clear()
    snapshot.backlog["app"] = lambda: [Behind("a.log", 1_000, 59.0)]  # a busy log
    snapshot.lag["app"] = 0.1
    assert host.seconds() == 0
    host.passes(10)
    assert host.seconds() == 10


def test_a_loss_and_a_restart_begin_the_time_anew() -> None:
    host = Host()
    host.seconds()
    host.passes(100)
    host.snapshot.losses["app", "rotated away"] += 1
    assert host.seconds() == 0
    host.passes(100)
    host.snapshot.losses["other", "rotated away"] += 1
    assert host.seconds() == 100
    host.snapshot.restarts["app"] += 1
    assert host.seconds() == 0


def test_a_clock_put_forward_makes_no_time_pass() -> None:
    host = Host()
    host.seconds()
    host.passes(100)
    host.wall += 86_400
    assert host.seconds() == 100
