from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from monitor.audit.check import Evidence
from monitor.audit.workflows import quiet, zizmor
from tests.monitor.audit.conftest import Make, write

GOOD = """
on: push
permissions: {contents: read}
env:
  LEVEL: debug
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - env:
          TOKEN: ${{ secrets.TOKEN }}
        run: |
          set -eu
          echo deploying
          echo "$TOKEN" | docker login --password-stdin
"""


REAL = zizmor()


@pytest.fixture(autouse=True)
def no_zizmor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.audit.workflows.zizmor", lambda: None)


def wrong(make: Make, folder: Path) -> list[Evidence]:
    found = list(quiet(make(folder)))
    assert found
    return [one for one in found if one.verdict != "pass" and "zizmor is not installed" not in one.text]


def workflow(folder: Path, text: str, name: str = ".github/workflows/deploy.yml") -> Path:
    return write(folder, {name: text})


def test_a_good_one_passes_and_of_none_nothing_is_known(make: Make, tmp_path: Path) -> None:
    write(tmp_path / "none", {"a": "x"})
    (none,) = wrong(make, tmp_path / "none")
    assert (none.verdict, "nothing to look at" in none.text) == ("unknown", True)
    assert wrong(make, workflow(tmp_path / "good", GOOD)) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD.replace("echo deploying", "echo $TOKEN"), 14),
        (GOOD.replace("LEVEL: debug", "KEY: ${{ secrets.KEY }}").replace("echo deploying", "echo $KEY"), 14),
        (GOOD.replace("runs-on: ubuntu-latest", "env: {K: '${{ secrets.K }}'}").replace("echo deploying", "env"), 14),
        (GOOD.replace("on: push", "defaults: {run: {shell: 'bash -x {0}'}}"), 13),
        (GOOD.replace("${{ secrets.TOKEN }}", "${{ toJSON(secrets) }}"), 11),
        (GOOD.replace("LEVEL: debug", "ALL: ${{ toJSON(secrets) }}"), 5),
        (GOOD.replace("runs-on: ubuntu-latest", "env: {ALL: '${{ toJson( secrets ) }}'}"), 8),
        ("runs:\n  using: composite\n  steps:\n    - run: echo ${{ secrets.A }}\n", 4),
    ],
)
def test_an_echo_fails_in_its_line(text: str, line: int, make: Make, tmp_path: Path) -> None:
    name = "action.yml" if text.startswith("runs") else ".github/workflows/deploy.yml"
    (one,) = wrong(make, workflow(tmp_path, text, name))
    assert (one.verdict, one.path, one.line) == ("fail", name, line)


@pytest.mark.parametrize("text", ["jobs: [", "x" * 600_000])
def test_a_broken_one_is_unknown(text: str, make: Make, tmp_path: Path) -> None:
    (one,) = wrong(make, workflow(tmp_path, text))
    assert one.verdict == "unknown"


@pytest.mark.parametrize(
    "text", ["", "jobs: 7", "jobs: {a: [], b: {steps: {}}, c: {steps: [1, run, {run: []}]}}", "- a\n- b"]
)
def test_odd_shapes_fail_nothing(text: str, make: Make, tmp_path: Path) -> None:
    odd = wrong(make, workflow(tmp_path, text + "\n# x"))
    assert [one.verdict for one in odd] == ([] if text.startswith("jobs: {") else ["unknown"])


def test_what_zizmor_would_have_found_is_not_known_without_it(make: Make, tmp_path: Path) -> None:
    said = [one.verdict for one in quiet(make(workflow(tmp_path, GOOD))) if "zizmor" in one.text]
    assert said == ["unknown"]


@pytest.mark.parametrize(
    ("text", "line", "verdict"),
    [
        (GOOD.replace("echo deploying", "node deploy.js"), 14, "unknown"),
        (GOOD.replace("echo deploying", "make deploy"), 14, "unknown"),
        (GOOD.replace("echo deploying", "tee <<< $TOKEN"), 14, "fail"),
        (GOOD.replace("echo deploying", "cat /proc/self/environ"), 14, "fail"),
        (GOOD.replace("echo deploying", "python -c 'print(TOKEN)'"), 14, "fail"),
        (GOOD + "      - run: echo hello\n      - run: cat f\n", None, ""),
        (GOOD + "          echo $TOKEN > f\n      - run: echo hello\n      - run: cat f\n", 18, "fail"),
        (GOOD + "          echo K=$TOKEN >> $GITHUB_ENV\n      - run: echo $K\n", 17, "fail"),
        (GOOD + "      - uses: a/b@v1\n        with: {token: '${{ secrets.A }}'}\n", 16, "unknown"),
        (GOOD + "      - uses: a/b@v1\n", None, ""),
        (GOOD + "      - uses: actions/checkout@v4\n        with: {token: '${{ secrets.A }}'}\n", None, ""),
        (GOOD + "  other: {uses: a/b/.github/workflows/c.yml@v1, secrets: inherit}\n", 16, "unknown"),
        ("runs:\n  using: node20\n  main: dist/index.js\n", 2, "unknown"),
    ],
)
def test_what_nobody_looked_at_is_unknown(
    text: str, line: int | None, verdict: str, make: Make, tmp_path: Path
) -> None:
    name = "action.yml" if text.startswith("runs") else ".github/workflows/deploy.yml"
    found = [(one.line, one.verdict) for one in wrong(make, workflow(tmp_path, text, name))]
    assert found == ([(line, verdict)] if verdict else [])


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A zizmor that answers what it is told to."""
    program = folder / "zizmor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("monitor.audit.workflows.zizmor", lambda: str(program))


@pytest.mark.parametrize(
    "script", ["exit 3", "echo rubbish", 'echo \'[{"ident": "unredacted-secrets"}]\'', "echo '{}'; kill $$"]
)
def test_a_zizmor_that_does_not_answer_is_unknown(
    script: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, monkeypatch, script)
    (one,) = wrong(make, workflow(tmp_path / "r", GOOD))
    assert (one.verdict, "zizmor" in one.text) == ("unknown", True)


def test_zizmor_is_asked_without_the_repositorys_settings(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; env > {tmp_path}/variables; echo "[]"')
    monkeypatch.setenv("GH_TOKEN", "x")
    assert wrong(make, workflow(tmp_path / "r", GOOD)) == []
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--offline --no-config ")
    assert asked.rstrip().endswith(f"-- {tmp_path}/r/.github/workflows/deploy.yml")
    assert "GH_TOKEN" not in (tmp_path / "variables").read_text()
    assert os.path.exists(tmp_path / "asked")


def test_the_real_zizmor_finds_what_we_do_not(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is among the packages for development, and an extra for users."""
    assert REAL is not None
    monkeypatch.setattr("monitor.audit.workflows.zizmor", lambda: REAL)
    assert wrong(make, workflow(tmp_path / "good", GOOD)) == []
    text = GOOD.replace("${{ secrets.TOKEN }}", "${{ fromJSON(secrets.BOTH).token }}")
    write(tmp_path / "r", {"zizmor.yml": "rules: {unredacted-secrets: {disable: true}}\n"})  # has no say
    (one,) = wrong(make, workflow(tmp_path / "r", text))
    assert (one.verdict, one.path, one.line) == ("fail", ".github/workflows/deploy.yml", 11)
    assert "zizmor: unredacted-secrets" in one.text
