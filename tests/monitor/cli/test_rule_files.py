from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


def use(folder: Path, *files: str) -> None:
    (folder / "config.toml").write_text(
        f"[monitor]\nstate_dir = 'state'\n[rules]\npacks = ['vcs/github']\npaths = {list(files)}\n"
    )


def test_an_imported_configuration_is_a_pack_that_works(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        "[[rules]]\nid='acme'\nregex='''acme_([a-z0-9]{24})'''\nkeywords=['acme_']\n"
        "[[rules]]\nid='looks'\nregex='''(?=x)acme'''\n"
    )
    answer = monitor("rules", "import", "gitleaks", "g.toml", "-o", "own.toml")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert answer.stderr.splitlines() == [
        "not converted: lookaround, atomic and conditional groups have no counterpart: looks",
        "1 rules converted, 1 not",
    ]
    use(tmp_path, "own.toml")
    assert monitor("rules", "test", "acme").returncode == 0
    (tmp_path / "log").write_text("x acme_4fj39dk2lsq81mz0xp5tv7ub y")
    assert "[acme]" in monitor("scan", "log").stdout
    again = monitor("rules", "import", "gitleaks", "g.toml", "-o", "own.toml")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert monitor("rules", "import", "gitleaks", "g.toml").stdout == (tmp_path / "own.toml").read_text()


def test_kingfisher_from_a_folder(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text(
        "rules:\n  - {id: acme.1, name: Acme key, pattern: 'acme_([a-z0-9]{24})'}\n"
    )
    answer = monitor("rules", "import", "kingfisher", "rules")
    assert answer.returncode == 0
    assert '[[rule]]\nid = "acme.1"\n' in answer.stdout


@pytest.mark.parametrize(
    "arguments", [("gitleaks", "gone.toml"), ("kingfisher", "gone"), ("kingfisher", "."), ("trivy", "x")]
)
def test_nothing_to_import(monitor: Command, arguments: tuple[str, ...]) -> None:
    answer = monitor("rules", "import", *arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr


def test_a_file_of_which_nothing_can_be_had(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("[[rules]]\nid='file'\npath='x'\n")
    answer = monitor("rules", "import", "gitleaks", "g.toml", "-o", "own.toml")
    assert answer.returncode == 1
    assert "no rule could be converted" in answer.stderr
    assert not (tmp_path / "own.toml").exists()


@pytest.mark.parametrize("options", [(), ("--keyword",)])
@pytest.mark.parametrize(
    ("vendor", "kind", "rule"), [("acme", "api-key", "acme-api-key"), ("Übel & Söhne 'X'", "web_hook", "")]
)
def test_a_scaffold_passes_its_tests_in_every_form(
    monitor: Command, tmp_path: Path, options: tuple[str, ...], vendor: str, kind: str, rule: str
) -> None:
    answer = monitor("rules", "new", vendor, kind, *options, "-o", "own.toml")
    assert answer.returncode == 0
    assert "name it in rules.paths, and run `monitor rules test " in answer.stderr
    (tmp_path / "config.toml").write_text(
        "[monitor]\nstate_dir = 'state'\n[rules]\npacks = ['vcs/github']\npaths = ['own.toml']\n"
    )
    answer = monitor("rules", "test", "--wrapped", "--seeds", "3", *([rule] if rule else []))
    assert answer.returncode == 0, answer.stdout
    assert monitor("rules", "new", vendor, kind, *options).stdout == (tmp_path / "own.toml").read_text()


def test_a_scaffold_needs_names(monitor: Command) -> None:
    assert monitor("rules", "new", "--", "--", "--").returncode == 2
    assert monitor("rules", "new", "acme").returncode == 2


def test_a_new_rule_makes_its_folder(monitor: Command, tmp_path: Path) -> None:
    answer = monitor("rules", "new", "acme", "api-key", "-o", "rules.d/more/acme.toml")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "rules.d/more/acme.toml").is_file()
