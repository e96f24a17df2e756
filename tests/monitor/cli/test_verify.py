from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
import typer

from detectors.rules.template import expand
from monitor.cli.verify import value_of
from tests.detectors import texts
from tests.fakes.issuer import BAD_CREDENTIALS, FakeIssuer

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]


def pat() -> str:
    return expand("ghp_{alnum:30}{crc32}")


def configured(tmp_path: Path, url: str, providers: str = '"github"') -> None:
    texts.lend(tmp_path / "state/cache")
    (tmp_path / "config.toml").write_text(
        f'[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n'
        f'[verify]\nproviders = [{providers}]\nprivate = ["github"]\nservers = {{ github = "{url}" }}\n'
    )


async def run(monitor: Command, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(monitor, "verify", *arguments, stdin=stdin)


async def test_a_secret_of_standard_input_is_asked_about(monitor: Command, tmp_path: Path) -> None:
    value = pat()
    async with FakeIssuer(value, 200, {"login": "octocat"}, {"X-OAuth-Scopes": "repo"}) as issuer:
        configured(tmp_path, issuer.url)
        answer = await run(monitor, "--value-from", "-", "--format", "json", stdin=value + "\n")
        assert answer.returncode == 1, answer.stderr
        row = json.loads(answer.stdout)
        assert (row["validity"], row["provider"], row["rule"]) == ("valid", "github", "github-pat")
        assert row["facts"] == {"account": "octocat", "scopes": "repo"}
        assert issuer.seen() == {"authorization"}

        issuer.status, issuer.body = 401, {"message": "Bad credentials"}
        answer = await run(monitor, "--value-from", "-", "--rule", "github-oauth-token", stdin=value)
        assert (answer.returncode, answer.stdout) == (0, "refused: GitHub refuses it (HTTP 401)\n")
        assert value not in answer.stdout + answer.stderr


async def test_nothing_is_sent_unless_somebody_says_so(monitor: Command, tmp_path: Path) -> None:
    value = pat()
    async with FakeIssuer(value, 200, {"login": "octocat"}) as issuer:
        configured(tmp_path, issuer.url, "")
        answer = await run(monitor, "--value-from", "-", stdin=value)
        assert answer.returncode == 2
        assert "verify.providers" in answer.stderr
        assert issuer.requests == []
        answer = await run(monitor, "--value-from", "-", "--yes", stdin=value)
        assert (answer.returncode, len(issuer.requests)) == (1, 1)


async def test_what_cannot_be_asked_is_said(monitor: Command, tmp_path: Path) -> None:
    configured(tmp_path, "http://127.0.0.1:9")
    cases = [
        (["--value-from", "-"], "no secret at all", "--rule"),
        (["--value-from", "-"], "", "nothing on standard input"),
        (["--value-from", "-", "--rule", "github-webhook-secret"], "x", "no probe"),
        (["--value-from", "-", "--part", "oops"], "x", "NAME=TEXT"),
        (["--value-from", "-", "--part", "value=x"], "x", "no secret"),
        ([], "", "--value-from -"),
        (["3f2a", "--replacement"], "", "--value-from -"),
        (["--replacement", "--value-from", "-"], "x", "takes an incident"),
    ]
    for arguments, stdin, words in cases:
        answer = await run(monitor, *arguments, stdin=stdin)
        assert answer.returncode == 2, arguments
        assert words in answer.stderr


def test_the_probes_are_listed(monitor: Command, tmp_path: Path) -> None:
    configured(tmp_path, "https://github.example.org")
    rows = json.loads(monitor("verify", "list", "--format", "json").stdout)
    assert len(rows) >= 40
    github = next(row for row in rows if row["provider"] == "github")
    assert (github["allowed"], github["host"]) == (True, "github.example.org")
    assert all(row["docs"].startswith("https://") for row in rows)
    assert "github.example.org" in monitor("verify", "list").stdout


async def test_on_a_terminal_the_secret_is_asked_for_and_not_shown(tmp_path: Path) -> None:
    value = pat()
    async with FakeIssuer(value, 401, BAD_CREDENTIALS) as issuer:
        configured(tmp_path, issuer.url)

        def typed() -> str:
            child = pexpect.spawn(
                sys.executable,
                ["-m", "monitor", "verify", "--value-from", "-", "--config", "config.toml"],
                cwd=str(tmp_path),
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "dumb"},
                encoding="utf-8",
                timeout=300,
            )
            try:
                child.expect("secret: ")
                child.sendline(value)
                child.expect(pexpect.EOF)
                return str(child.before)
            finally:
                child.close()

        shown = await asyncio.to_thread(typed)
        assert "refused" in shown
        assert value not in shown


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # of this locale, and of C.UTF-8
def test_what_is_no_text_is_refused(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8", errors))
    with pytest.raises(typer.Exit) as refused:
        value_of("--value-from", "-")
    assert refused.value.exit_code == 2
