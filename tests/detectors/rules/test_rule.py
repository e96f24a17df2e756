from __future__ import annotations

import re
from pathlib import Path

from detectors.rules.packfile import load_file
from detectors.rules.rule import RuleError, bare, suggest
from tests.detectors.packs import GOOD, write
from tests.detectors.texts import rule


def test_a_word_boundary_on_the_left_also_sees_escapes(tmp_path: Path) -> None:
    (one,) = load_file(write(tmp_path / "own.toml", GOOD))
    assert one.pattern.startswith(r"\b")
    value = next(iter(re.findall(r"[a-z]+_", one.pattern)))
    head = one.confirm.partition(value)[0].removesuffix("(?P<secret>")
    for escape in ("%3D", "%253D", "%25253d", "\\u003d", "%5Cu003d", "%5cx3D", "%5Cn"):
        assert re.search(f"{head}{value}", f"{escape}{value}"), escape
        assert not re.search(rf"\b{value}", f"{escape}{value}")


def test_a_refusal_tells_every_problem() -> None:
    assert str(RuleError(["one", "two"])).splitlines() == ["one", "two"]


def test_only_what_is_close_is_suggested() -> None:
    assert suggest("gihub-pat", ["github-pat", "slack"]) == "; did you mean 'github-pat'?"
    assert suggest("nothing", ["github-pat"]) == ""


def test_a_keyword_is_one_name_however_its_words_are_parted() -> None:
    one = rule("(?P<secret>[a-z]{8})", keywords=("Acme_Api-Key", "acme api_key", "acme.com"))
    assert sorted(one.names) == [b"acme.com", b"acmeapikey"]
    assert bare(b"ACME-API KEY") in one.names
    assert rule("(?P<secret>[a-z]{8})", keywords=("acme", "a" * 49)).names == ()
