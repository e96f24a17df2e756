"""What stands beside a secret that is found, as loggers write it and pipelines wrap it: it leaves in no output."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus

import pytest

from tests.acceptance.wrappings import ENCODINGS, LOGGERS, NAMES, Wrapped, lines
from tests.detectors import texts
from tests.fakes.forks import Forks

ROOT = Path(__file__).parents[2]
CONFIG = """
[monitor]
state_dir = "state"
[http]
listen = ""
[[sources]]
name = "app"
type = "file"
include = ["logs/*.log"]
start_at = "beginning"
[[sinks]]
name = "screen"
type = "console"
"""
_UNDONE = (
    unquote,
    unquote_plus,
    html.unescape,
    lambda text: text.replace('\\"', '"').replace("\\\\", "\\").replace("\\/", "/"),
    lambda text: re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text),
    lambda text: re.sub(r"[A-Za-z0-9+/]{24,}={0,2}", lambda found: _decoded(found[0]), text),
    lambda text: re.sub(r"(?:[0-9a-f]{2}){12,}", lambda found: bytes.fromhex(found[0]).decode("utf-8", "ignore"), text),
)


def _decoded(text: str) -> str:
    text = text.rstrip("=")
    text = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "ignore")


def readable(text: str, depth: int = 3) -> Iterator[str]:
    """What whoever has this text can read of it, undoing encodings one in another."""
    seen, new = {text}, {text}
    for _ in range(depth):
        new = {undo(one) for one in new for undo in _UNDONE} - seen
        seen |= new
    yield from seen


def in_clear(output: str, wrapped: Iterable[Wrapped]) -> list[Wrapped]:
    all_of_it = "\n".join(dict.fromkeys(part for line in dict.fromkeys(output.splitlines()) for part in readable(line)))
    return [one for one in wrapped if one.value in all_of_it or one.token in all_of_it]


def outputs(folder: Path, wrapped: Iterable[Wrapped]) -> Iterator[tuple[str, str]]:
    (folder / "logs").mkdir()
    (folder / "logs/app.log").write_text("".join(f"{one.text}\n" for one in wrapped), encoding="utf-8")
    (folder / "config.toml").write_text(CONFIG)
    texts.lend(folder / "state/cache")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "500"}
    for arguments in (
        *(["scan", "logs", "--format", form] for form in ("text", "json", "sarif")),
        ["test-pattern", "--rule", "github-pat", "logs/app.log", "--no-cost", "--format", "json"],
        ["run", "--once"],
        ["incidents", "list", "--state", "all", "--format", "json", "--limit", "1000"],
    ):
        done = Forks.shared().run_bytes(*arguments, "--config", "config.toml", cwd=folder, env=environment)
        assert done.returncode in (0, 1), done.stderr[-500:]
        text = (done.stdout + done.stderr).decode()
        assert "ghp_" in text, arguments
        yield " ".join(arguments[:2]), text
    for path in (folder / "state").glob("state.db*"):
        yield path.name, path.read_bytes().decode("latin-1")


def test_what_is_undone_is_what_was_done() -> None:
    for one in lines(3, 0.01):
        assert in_clear(one.text, [one]), one.name
    assert len(LOGGERS) >= 13
    assert len(NAMES) * len(ENCODINGS) ** 2 > 1900


def test_no_credential_beside_a_secret_leaves(tmp_path: Path) -> None:
    wrapped = list(lines(1, 0.012))
    for name, text in outputs(tmp_path, wrapped):
        assert not [(one.name, one.value) for one in in_clear(text, wrapped)], name


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 20))
def test_no_credential_of_many_leaves(tmp_path: Path, seed: int) -> None:
    wrapped = list(lines(seed, 0.1))
    for name, text in outputs(tmp_path, wrapped):
        left = in_clear(text, wrapped)
        print(f"seed {seed}: {name}: {len(left)} of {len(wrapped)}")
        assert not left, json.dumps([(one.name, one.value) for one in left[:20]], ensure_ascii=False)
