"""Columns of the grid: what happens to the monitor, its storage and its sink.

Each gives episodes: operations at their beginning and at their end, which fall anywhere in the course of the row.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.campaign.script import Op, Script

__all__ = ["COLUMNS", "Episodes"]

Episodes = list[tuple[list[Op], list[Op]]]


def none(s: Script) -> Episodes:
    """For comparison."""
    return []


def kill(s: Script) -> Episodes:
    """SIGKILL, up to three times, often within a quarter of a second after it was ready."""
    found: Episodes = []
    for _ in range(s.random.randint(1, 2)):
        end: list[Op] = [["start"]]
        for _ in range(s.random.choice((0, 1, 1, 2))):
            end += [["sleep", round(s.random.random() * 0.25, 3)], ["kill"], ["start"]]
        found.append(([["kill"]], end))
    return found


def stop(s: Script) -> Episodes:
    """SIGSTOP and SIGCONT."""
    return [
        ([["stop"], ["sleep", round(s.random.choice((0.0, 0.2, 0.6)), 3)]], [["cont"]])
        for _ in range(s.random.randint(1, 3))
    ]


def disk(s: Script) -> Episodes:
    """The disk that holds the state is full."""
    s.settings["disk"] = 6 << 20
    pause = round(s.random.choice((0.0, 0.3, 1.0)), 3)
    end: list[Op] = [["free"]]
    if s.perhaps(0.25):
        end = [["kill"], ["start"], ["sleep", 0.5], ["free"]]
    return [([["fill"], ["sleep", pause]], end)]


def descriptors(s: Script) -> Episodes:
    """Few descriptors, many files, rotated again and again."""
    s.settings["descriptors"] = 64
    crowd = 24
    episodes: Episodes = []
    first: list[Op] = []
    for n in range(crowd):
        first += [["open", f"c{n}", f"logs/crowd-{n}.log", "a"], ["put", f"c{n}", s.ids(1), {}]]
    episodes.append((first, [["settle"]]))
    for turn in range(2):
        again: list[Op] = []
        for n in range(crowd):
            again += [
                ["rename", f"logs/crowd-{n}.log", f"logs/crowd-{n}.log.{turn + 1}"],
                ["put", f"c{n}", s.ids(1), {}] if n % 4 == 0 else ["sleep", 0],
                ["open", f"c{n}", f"logs/crowd-{n}.log", "a"],
                ["put", f"c{n}", s.ids(1), {}] if n % 2 == 0 else ["sleep", 0],
            ]
        episodes.append((again, [["settle"]]))
    return episodes


def database(s: Script) -> Episodes:
    """The database is deleted under the monitor, or its log is damaged while it is away."""
    if s.perhaps(0.4):
        return [([["unlink_database"]], [])]
    how = s.random.choice(("header", "middle", "cut"))
    return [([["kill"], ["damage", how]], [["start"]])]


def locked(s: Script) -> Episodes:
    """Another process holds the database."""
    pause = round(s.random.choice((0.1, 0.5, 1.5)), 3)
    end: list[Op] = [["unlock"]]
    if s.perhaps(0.25):
        end = [["kill"], ["start"], ["sleep", 0.3], ["unlock"]]
    return [([["lock"], ["sleep", pause]], end)]


def errors(s: Script) -> Episodes:
    """The sink answers 429, 500, half, late or not at all; one takes small bodies only."""
    if s.perhaps(0.3):
        s.settings.update(burst="2/1m", group_interval="1s")
        return [([["sink", "limit", 6000]], [])]
    kind = s.random.choice(("429", "500", "503", "reset", "cut", "lost"))
    return [([["sink", kind], ["sleep", round(s.random.choice((0.1, 0.5)), 3)]], [["sink", "well"]])]


def outage(s: Script) -> Episodes:
    """The sink hangs, is down, or refuses everything, and is then mended."""
    kind = s.random.choice(("hang", "down", "404", "401"))
    begin: list[Op] = [["sink", kind], ["sleep", round(s.random.choice((0.1, 0.5, 1.0)), 3)]]
    if s.perhaps(0.2):
        return [(begin, [["kill"], ["start"], ["sink", "well"]])]
    return [(begin, [["sink", "well"]])]


def clock(s: Script) -> Episodes:
    """The wall clock steps, and on some nights steps back."""
    s.settings["clock"] = True
    found: Episodes = []
    for _ in range(s.random.randint(1, 2)):
        step = s.random.choice((-86_400, -3600, -20, 20, 3600, 86_400, 40_000_000))
        found.append(([["clock", step]], [["clock", 0]] if s.perhaps() else []))
    return found


def reload(s: Script) -> Episodes:
    """The configuration changes in the middle: the source's, the sink's, the rules'; some are refused."""
    kinds = s.random.choices(("source", "sink", "rules", "bad", "same"), k=s.random.randint(1, 3))
    return [([["reload", kind]], []) for kind in kinds]


COLUMNS: dict[str, Callable[[Script], Episodes]] = {
    column.__name__: column
    for column in (none, kill, stop, disk, descriptors, database, locked, errors, outage, clock, reload)
}
