"""Rows of the grid: what a service and its rotation do to the files."""

from __future__ import annotations

from collections.abc import Callable

from tests.campaign.script import Script

__all__ = ["ROWS"]


def _log(s: Script) -> None:
    s.op("make", "logs/app.log", s.random.randrange(0, 3000))
    s.open("h", "logs/app.log")


def rename(s: Script) -> None:
    """Renamed and made anew; the service writes on through its old handle for a while."""
    _log(s)
    s.begin()
    for n in range(s.random.randint(1, 3)):
        s.put("h")
        s.nap()
        s.op("rename", "logs/app.log", f"logs/app.log.{n + 1}")
        s.nap()
        s.put("h")
        s.open("next", "logs/app.log")
        s.put("next")
        s.put("h")
        s.op("close", "h")
        s.open("h", "logs/app.log")
        s.op("close", "next")
        s.put("h")
        s.op("settle")  # a file that is renamed before it was ever seen is the row `fast`


def loggers(s: Script) -> None:
    """The same with lines as loggers write them: coloured, in encodings one in another."""
    s.op("loggers")
    rename(s)


def copytruncate(s: Script) -> None:
    """Copied and cut to nothing. What nobody has read by then is in the ledger, or was read from the copy."""
    _log(s)
    s.begin()
    for n in range(s.random.randint(1, 3)):
        s.put("h")
        if s.perhaps(0.7):
            s.op("settle")
        else:
            s.put("h", cut=1.0)
            s.op("sleep", 0.6)
            s.op("doom")
        s.op("copy", "logs/app.log", f"logs/app.log.{n + 1}")
        s.op("truncate", "logs/app.log", 0)
        s.nap()
        s.put("h")
        s.op("settle")


def regrow(s: Script) -> None:
    """Cut to nothing and grown past the old position before anybody looks."""
    _log(s)
    s.begin()
    for _ in range(s.random.randint(1, 3)):
        s.put("h")
        s.op("settle")
        s.op("truncate", "logs/app.log", 0)
        s.op("regrow", "h", s.ids(1, 3))
        s.put("h")


def _jobs(s: Script) -> None:
    s.op("job", "logs/app.log", s.ids(1, 3), "new")
    s.op("start")
    s.op("settle")
    s.begun = len(s.ops)


def rewrite(s: Script) -> None:
    """The log of a job, written over in place: same size, same head and tail, other secrets between."""
    s.settings["start_at"] = "beginning"
    _jobs(s)
    for _ in range(s.random.randint(1, 3)):
        s.nap()
        s.op("job", "logs/app.log", s.ids(1, 3), "in place")
        s.nap()
        s.op("settle")


def replace(s: Script) -> None:
    """The same, by a new file that is renamed over the old one."""
    s.settings["start_at"] = "beginning"
    _jobs(s)
    for _ in range(s.random.randint(1, 3)):
        s.nap()
        s.op("job", "logs/app.log", s.ids(1, 3), "replace")
        s.nap()
        s.op("settle")


def inode(s: Script) -> None:
    """Removed while the monitor is away; another file gets its inode."""
    _log(s)
    s.begin()
    for _ in range(s.random.randint(1, 2)):
        s.put("h")
        s.op("settle")
        s.away()
        s.op("close", "h")
        s.op("reuse", "logs/app.log", s.random.choice((0, 100, 5000)))
        s.open("h", "logs/app.log")
        s.put("h")
        s.back()
        s.put("h")


def symlink(s: Script) -> None:
    """A link that is turned to another file, as the kubelet does, while the old one is still written."""
    for n in range(3):
        s.op("make", f"real/{n}", s.random.randrange(0, 3000))
    s.op("symlink", "real/0", "logs/app.log")
    s.open("h", "real/0")
    s.begin()
    for n in range(1, s.random.randint(2, 3)):
        s.put("h")
        s.nap()
        s.op("symlink", f"real/{n}", "logs/app.log")
        s.put("h")
        s.open("next", f"real/{n}")
        s.put("next")
        s.put("h")
        s.op("settle")
        s.open("h", f"real/{n}")
        s.put("h")


def gz(s: Script) -> None:
    """Renamed and compressed, at once or while the monitor is away."""
    _log(s)
    s.begin()
    for n in range(s.random.randint(1, 2)):
        s.put("h")
        away = s.perhaps(0.6)
        if away:
            s.away()
            s.put("h", 1, 3, cut=1.0)
        else:
            s.op("settle")
        s.op("rename", "logs/app.log", f"logs/app.log.{n + 1}")
        s.op("close", "h")
        s.open("h", "logs/app.log")
        if away:
            s.put("h", 1, 2, cut=1.0)
        s.op("gzip", f"logs/app.log.{n + 1}")
        s.back()
        s.put("h")
        s.op("settle")


def prealloc(s: Script) -> None:
    """Room is made ahead as zeros, then filled in place."""
    size = s.random.choice((4096, 65_536, 1 << 20))
    s.op("zeros", "logs/app.log", size)
    s.open("h", "logs/app.log", "r+")
    s.begin()
    for _ in range(s.random.randint(3, 7)):
        s.put("h", 1, 2)
        s.op("sleep", round(s.random.choice((0.0, 0.05, 0.3)), 3))
    s.op("zeros", "logs/other.log", size)  # one that appears while we run
    s.open("other", "logs/other.log", "r+")
    for _ in range(s.random.randint(1, 4)):
        s.put("other", 1, 2)
        s.nap()


def quiet(s: Script) -> None:
    """A log that rested for hours is renamed, and the service writes on through its handle."""
    _log(s)
    s.begin()
    s.op("age", "logs/app.log", s.random.choice((4000, 7200, 90_000)))
    s.op("sleep", round(s.random.choice((0.0, 0.3)), 3))
    s.op("rename", "logs/app.log", "logs/app.log.1")
    made = s.perhaps()
    if made:
        s.open("next", "logs/app.log")
        s.put("next")
    for _ in range(s.random.randint(1, 4)):
        s.op("sleep", round(s.random.choice((0.0, 0.3, 0.8)), 3))
        s.put("h")
        if s.perhaps(0.3):
            s.op("age", "logs/app.log.1", 7200)
    if made:
        s.put("next")


def moved(s: Script) -> None:
    """Rotated into another folder, on some nights while the monitor is away."""
    _log(s)
    s.begin()
    folder = s.random.choice(("logs/old", "archive"))
    for n in range(s.random.randint(1, 2)):
        s.put("h")
        away = s.perhaps(0.7)
        if away:
            s.op("settle")
            s.away()
            s.put("h", cut=1.0)
        s.op("rename", "logs/app.log", f"{folder}/app.log.{n + 1}")
        s.put("h")
        s.op("close", "h")
        s.open("h", "logs/app.log")
        s.put("h")
        s.back()
        s.put("h")
        s.op("settle")


def unlinked(s: Script) -> None:
    """Deleted while the service has it open, and written on."""
    _log(s)
    s.begin()
    s.put("h")
    s.op("settle")
    s.op("unlink", "logs/app.log")
    made = s.perhaps()
    if made:
        s.open("next", "logs/app.log")
        s.put("next")
    for _ in range(s.random.randint(1, 3)):
        s.put("h")
        s.nap()
    if s.perhaps(0.25):
        s.op("sleep", 8.0)
        s.put("h")
    s.op("settle")
    if made:
        s.put("next")


def fast(s: Script) -> None:
    """Rotated every few milliseconds, as logrotate numbers them: 1 → 2, the log → 1."""
    s.settings["include"] = "logs/*.log*"
    _log(s)
    s.begin()
    rounds = s.random.randint(4, 10)
    pause = s.random.choice((0.0, 0.01, 0.04))
    for done in range(rounds):
        s.put("h", 1, 2, cut=1.0)
        for n in range(done, 0, -1):
            s.op("rename", f"logs/app.log.{n}", f"logs/app.log.{n + 1}")
        s.op("rename", "logs/app.log", "logs/app.log.1")
        if s.perhaps(0.3):
            s.put("h", 1, 1, cut=1.0)
        s.op("close", "h")
        s.open("h", "logs/app.log")
        if pause:
            s.op("sleep", pause)
    s.put("h")


def long(s: Script) -> None:
    """Lines of megabytes with secrets in them, and lines that are not finished for a while."""
    _log(s)
    s.begin()
    size = s.random.choice((1, 2, 4, 8, 64 if s.perhaps(0.3) else 3))
    s.op("line", "h", s.ids(2, 5), size)
    s.put("h", cut=0.5, pause=0.4)
    for _ in range(s.random.randint(1, 3)):
        s.op("part", "h", s.ids(1), round(s.random.choice((0.3, 0.5, 1.2)), 3))
    s.put("h")


def broker(s: Script) -> None:
    """A broker ends and is there again; what was published meanwhile waits in it."""
    s.settings["stream"] = "mqtt"
    s.op("broker", "up")
    _log(s)
    s.begin()
    s.op("hello", s.ids(1))
    s.begun = len(s.ops)
    for _ in range(s.random.randint(2, 4)):
        s.op("publish", s.ids(1, 4))
        s.nap(0.3)
        if s.perhaps(0.6):
            s.op("broker", "down")
            s.nap(0.5)
            s.op("broker", "up")
        s.op("publish", s.ids(1, 4))
        s.put("h")


def push(s: Script) -> None:
    """Agents push logs, each body until it is taken; some are cut off in the middle first."""
    s.settings["stream"] = "http"
    _log(s)
    s.begin()
    for _ in range(s.random.randint(3, 7)):
        s.op("push", s.ids(1, 6), s.perhaps(0.3))
        s.nap(0.3)
    s.put("h")


def fluent(s: Script) -> None:
    """Fluent Bit pushes msgpack, each body until it is taken, some once more; some are cut off in the middle first."""
    s.settings["stream"] = "http"
    _log(s)
    s.begin()
    for _ in range(s.random.randint(3, 7)):
        s.op("fluent", s.ids(1, 6), s.perhaps(0.3))
        s.nap(0.3)
    s.put("h")


def cut(s: Script) -> None:
    """Syslog over TCP; connections end within a message, which comes whole over the next one."""
    s.settings["stream"] = "syslog"
    _log(s)
    s.begin()
    for _ in range(s.random.randint(3, 7)):
        s.op("log", s.ids(1, 6), s.perhaps(0.4))
        s.nap(0.3)
    s.put("h")


def counted(s: Script) -> None:
    """Syslog over TCP from who counts characters, not bytes; some pause within a value."""
    s.settings["stream"] = "syslog"
    _log(s)
    s.begin()
    for _ in range(s.random.randint(3, 6)):
        s.op("count", s.ids(2, 20), s.random.choice((0.0, 0.3, 2.6)))
        s.nap(0.3)
    s.put("h")


def vacuum(s: Script) -> None:
    """The oldest file of the journal is removed, read or, while the monitor is away, with records nobody has read."""
    s.settings["stream"] = "journal"
    _log(s)
    s.op("note", s.ids(1, 3), "0")
    s.begin()
    for n in range(s.random.randint(1, 3)):
        s.op("note", s.ids(1, 4), str(n))
        s.op("settle")
        if away := s.perhaps(0.5):
            s.away()
            if s.perhaps(0.6):
                s.op("note", s.ids(1, 3), str(n))
            s.op("vacuum", str(n))
        s.op("note", s.ids(1, 4), str(n + 1))
        if not away:
            s.nap(0.3)
            s.op("settle")
            s.op("vacuum", str(n))
        s.back()
        s.put("h")


def hosts(s: Script) -> None:
    """Two hosts upload their journals: one of them late, after an outage, or with a clock that was slow."""
    s.settings["stream"] = "journal"
    _log(s)
    s.op("upload", s.ids(1, 3), "a", 0)
    s.begin()
    for _ in range(s.random.randint(3, 6)):
        s.op("upload", s.ids(1, 4), s.random.choice("ab"), s.random.choice((0, 0.2, 2, 300, 86_400, 40_000_000)))
        s.nap(0.3)
        s.op("upload", s.ids(1, 4), s.random.choice("ab"), s.random.choice((0, 0, 1)))
        if s.perhaps(0.3):
            s.op("archive", s.random.choice("ab"))
        s.put("h")


def _pod(s: Script, runtime: str) -> None:
    s.settings["type"] = "container"
    few = s.random.choice((0, 5, 300))
    size = s.random.choice((60, 60, 8000))
    s.op("runtime", runtime)
    s.open("h", "logs/0.log")
    s.op("lines", "h", few, size)
    s.begin()
    for n in range(s.random.randint(1, 3)):
        s.op("lines", "h", s.random.choice((0, 5, 300, 30_000 if s.perhaps(0.3) else 2)), size)
        s.put("h")
        away = s.perhaps(0.4)
        if away:
            s.op("settle")
            s.away()
            s.put("h", cut=1.0)
        s.op("rename", "logs/0.log", f"logs/0.log.20261129-10000{n}")
        s.nap()
        s.put("h", cut=1.0)  # until the runtime is asked to open it anew
        s.op("close", "h")
        s.open("h", "logs/0.log")
        s.put("h", cut=1.0)
        s.back()
        s.put("h")
        s.op("settle")
        if s.perhaps(0.3):
            s.op("gzip", f"logs/0.log.20261129-10000{n}")
            s.put("h")


def cri(s: Script) -> None:
    """The log of a pod, short or long lines, few or many, rotated by the kubelet: renamed by the time."""
    _pod(s, "cri")


def docker(s: Script) -> None:
    """The same in JSON."""
    _pod(s, "docker")


def halves(s: Script) -> None:
    """Secrets over a rotation: numbers that rise, numbers that shift, dates."""
    _log(s)
    s.begin()
    how = s.random.choice(("rise", "shift", "date"))
    for n in range(1, s.random.randint(2, 4)):
        s.put("h", cut=1.0)
        s.op("half", "h", s.ids(1))
        s.op("sleep", round(s.random.choice((0.0, 0.1, 0.6)), 3))
        for older in range(n - 1, 0, -1) if how == "shift" else ():
            s.op("rename", f"logs/app.log.{older}", f"logs/app.log.{older + 1}")
        end = {"rise": f".{n}", "shift": ".1", "date": f"-2026010{n}"}[how]
        s.op("rename", "logs/app.log", f"logs/app.log{end}")
        s.op("close", "h")
        s.open("h", "logs/app.log")
        s.op("rest", "h")
        s.put("h")
        s.op("settle")


ROWS: dict[str, Callable[[Script], None]] = {
    row.__name__: row
    for row in (
        *(rename, loggers, copytruncate, regrow, rewrite, replace, inode, symlink, gz),
        *(prealloc, quiet, moved, unlinked, fast, long, halves, cri, docker),
        *(broker, push, fluent, cut, counted, vacuum, hosts),
    )
}
