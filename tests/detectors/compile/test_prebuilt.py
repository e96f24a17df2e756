from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hyperscan
import pytest

from detectors import cache
from detectors.compile import plan, prebuilt
from detectors.match.engine import Engine
from detectors.rules.load import load_rules
from detectors.rules.rule import Rule
from detectors.rules.template import expand
from tests.detectors import texts
from tests.detectors.packs import GOOD, write

MOST = 8_000_000  # bytes of what a wheel brings along; compressed in it, a sixth of that
SIMPLE = texts.rule(r"\b(?P<secret>tok_[a-z0-9]{12})\b", id="simple")
HIT = b"tok_k3j9x2m4q8w1"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What comes with a package that has this one rule, as a file; without decoders, which take longest."""
    monkeypatch.setattr(plan, "codecs", lambda rules: [])
    folder = tmp_path / "compiled"
    folder.mkdir()
    monkeypatch.setattr(cache, "SHIPPED", folder)
    path = folder / plan.name([SIMPLE])
    cache.put(path, plan.dumped([SIMPLE]), 1)
    return path


def makes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the rules for which a plan is made from here on."""
    made: list[int] = []
    make = plan.make

    def counted(rules: list[Rule], *others: Any) -> Any:
        made.append(len(rules))
        return make(rules, *others)

    monkeypatch.setattr(plan, "make", counted)
    return made


def found(cache_dir: Path | None, *rules: Rule) -> list[str]:
    return [match.rule.id for match in Engine.build(rules or (SIMPLE,), cache_dir).worker().scan(HIT)]


def test_a_first_start_reads_no_pack_and_compiles_no_rule(tmp_path: Path) -> None:
    """What it costs, as counts: packs read, expressions compiled, files written."""
    texts.rules()  # which sees to it that the package has them
    code = f"""
import sys
from pathlib import Path
import hyperscan
asked = []
class Database(hyperscan.Database):
    def compile(self, *, expressions, **others):
        asked.extend(expressions)
        super().compile(expressions=expressions, **others)
hyperscan.Database = Database
from detectors.rules.load import load_rules
from detectors.match.engine import Engine
cache = Path({str(tmp_path / "cache")!r})
engine = Engine.build(load_rules(cache_dir=cache), cache)
packs = [name for name in ("detectors.rules.packfile", "tomllib", "pydantic", "numpy") if name in sys.modules]
print(len(engine.rules), packs, asked, cache.exists())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The one expression tells which library and which processor it is.
    assert done.stdout == f"{len(texts.rules())} [] [b'probe'] False\n"


def test_it_comes_before_the_cache_and_leaves_it_alone(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = makes(monkeypatch)
    assert found(None) == found(tmp_path / "cache") == ["simple"]
    assert made == []
    assert not (tmp_path / "cache").exists()
    assert found(None, SIMPLE, texts.rule("(?P<secret>other[0-9]{9})", id="other")) == ["simple"]
    assert made == [2], "other rules"


def _of_another(raw: bytes, offset: int) -> bytes:
    """The same with a field of its database's head as another processor or library would write it: its digest is right,
    and Hyperscan refuses it."""
    head, separator, database = raw.partition(b"]]\n")
    (field,) = struct.unpack_from("<I", database, offset)
    return head + separator + database[:offset] + struct.pack("<I", field ^ 0x55) + database[offset + 4 :]


@pytest.mark.parametrize(
    ("harm", "refused"),
    [
        (lambda raw: _of_another(raw, 4), "version"),
        (lambda raw: _of_another(raw, 12), "platform"),
        (lambda raw: raw[:-8], "cut"),
        (lambda raw: raw[:32] + b"not json\n", "other content"),
        (lambda raw: bytes(32) + raw[32:], "other rules"),
        (lambda raw: b"", "nothing"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_what_does_not_fit_is_made_anew_into_the_cache(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes], refused: str
) -> None:
    harmed = harm(cache.shipped(shipped.name) or b"")
    if refused in ("version", "platform"):
        with pytest.raises(hyperscan.error):
            plan._restored(harmed.partition(b"]]\n")[2])
    cache.put(shipped, harmed, 1)
    assert cache.shipped(shipped.name) == harmed, "whole"
    made = makes(monkeypatch)
    for _ in range(2):
        assert found(tmp_path / "cache") == ["simple"]
    assert made == [1], "and taken from there at the next start"
    assert cache.shipped(shipped.name) == harmed, "it is not ours to mend"


@pytest.mark.parametrize("harm", [lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw[:-8] + bytes(8)])
def test_what_is_damaged_is_made_anew_into_the_cache(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes]
) -> None:
    shipped.write_bytes(harm(shipped.read_bytes()))
    made = makes(monkeypatch)
    assert found(tmp_path / "cache") == found(tmp_path / "cache") == ["simple"]
    assert made == [1]


def test_beside_ones_own_rules_it_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts.rules()
    own = write(tmp_path / "own.toml", GOOD)
    made = makes(monkeypatch)
    engine = Engine.build(load_rules(paths=[own]), tmp_path / "cache")
    assert len(engine.parts) == 2
    assert made == [1]
    assert [path.suffix for path in (tmp_path / "cache").glob("*.hs*")] == [".hsown"]


def test_to_turn_a_rule_off_or_put_ones_own_in_its_place_compiles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = texts.rules()
    off = [every[0].id, "github-pat", every[-1].id]
    own = write(tmp_path / "own.toml", GOOD.replace("acme-key", "slack-bot-token"))
    made = makes(monkeypatch)
    assert "slack-bot-token" in {rule.id for rule in every}
    subject = Engine.build(load_rules(disable=off, paths=[own]), tmp_path / "cache")
    assert made == [1], "the own one"
    assert len(subject.rules) == len(every) - len(off)
    templates = [rule.examples[0] for rule in every[::40] if rule.id != "slack-bot-token"]  # which is the own one
    text = "\n\n".join(
        expand(template, 4) for template in (*templates, "ghp_{alnum:30}{crc32}", "key acme_{lownum:12}")
    ).encode()
    found, expected = (
        [(match.rule.id, match.start, match.end) for match in one.worker().scan(text)]
        for one in (subject, texts.engine())
    )
    left = {rule.id for rule in subject.rules}
    assert [one for one in expected if one[0] in left and one in found] == [one for one in expected if one[0] in left]
    assert {name for name, *_ in found} <= left
    assert "slack-bot-token" in {name for name, *_ in found}
    assert "github-pat" in {name for name, *_ in expected}


@pytest.mark.parametrize("change", ["another severity", "another id", "many fewer", "one more"])
def test_other_rules_are_compiled(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [*texts.rules()]
    if change == "another severity":
        chosen[7:9] = [replace(chosen[8], severity="info" if chosen[8].severity != "info" else "low")]
    elif change == "another id":
        chosen[7:9] = [replace(chosen[8], id="another")]
    elif change == "many fewer":
        del chosen[:: len(chosen) // 200]
    else:
        chosen.append(replace(chosen[8], id="another"))
    monkeypatch.setattr(plan, "make", lambda *_: pytest.fail("compiled"))
    with pytest.raises(pytest.fail.Exception, match="compiled"):
        plan.compiled(chosen, None)


def written(folder: Path) -> dict[str, tuple[int, ...]]:
    """Size, inode and time of writing of each file: to be read, too, changes what else there is."""
    statuses = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (status.st_size, status.st_ino, status.st_mtime_ns) for name, status in statuses.items()}


def test_it_is_small_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts.rules()
    folder = tmp_path / "room" / "compiled"
    prebuilt.make(folder)
    files = written(folder)
    assert sorted(Path(name).suffix for name in files) == [".hsdb", ".hsdb", ".hsdb", ".rules"]
    assert sum(size for size, *_ in files.values()) < MOST
    prebuilt.make(folder)
    assert written(folder) == files
    monkeypatch.setattr(cache, "SHIPPED", folder)
    made = makes(monkeypatch)
    assert len(Engine.build(load_rules()).rules) == len(texts.rules())
    assert made == []


def test_of_those_that_are_out_of_date_as_many_stay_as_there_are_now(tmp_path: Path) -> None:
    texts.rules()
    for number in range(9):
        for kind in ("hsdb", "rules"):
            cache.put(tmp_path / f"{number}.{kind}", b"old", 9)
    prebuilt.make(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [*[".hsdb"] * 6, *[".rules"] * 2]


def test_what_rules_on_trial_share_comes_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    texts.rules()
    monkeypatch.setattr(plan, "_common", plan._common.__wrapped__)
    made = makes(monkeypatch)
    near = texts.rule("(?P<secret>near[0-9]{9})", keywords=("zorg",))
    for own in (SIMPLE, near):
        assert len(Engine.build([own], trial=True).parts) == 2
    assert made == [1, 1]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    texts.rules()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        prebuilt.make(tmp_path / "file" / "compiled")
