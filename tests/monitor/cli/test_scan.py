from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pexpect
import pytest

from detectors.rules.template import expand
from tests.fakes.shell import in_process

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("config")


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


def rows(answer: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_the_contract_of_jsonl(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"one\n  token={token(1)}\n")
    answer = monitor("scan", "--format", "jsonl", "a.log")
    assert answer.returncode == 1
    assert answer.stderr == ""
    (row,) = rows(answer)
    assert row | {"path": "a.log", "line": 2, "column": 9, "rule": "github-pat", "severity": "critical"} == row
    assert str(row["masked"]).startswith("ghp_")
    assert row["confidence"] == "high"
    digest = monitor("fingerprint", stdin=token(1) + "\n").stdout.strip()
    assert row["fingerprint"] == digest
    assert token(1) not in answer.stdout


def test_exit_codes(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "clean").write_text("nothing\n")
    assert monitor("scan", "clean").returncode == 0
    for arguments in (["gone"], [], ["--reveal", "clean"], ["-", "clean"], ["--rule", "github-pta", "clean"],
                      ["--max-size", "big", "clean"], ["--severity", "worst", "clean"]):  # fmt: skip
        answer = monitor("scan", *arguments)
        assert answer.returncode == 2, arguments
        assert answer.stdout == ""
        assert "Traceback" not in answer.stderr
    assert "did you mean github-pat" in monitor("scan", "--rule", "github-pta", "clean").stderr
    (tmp_path / "config.toml").write_text("[rules]\npacks = ['none']\n")
    assert monitor("scan", "clean").returncode == 78


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "sarif"])
def test_no_form_prints_a_secret(monitor: Command, tmp_path: Path, form: str) -> None:
    (tmp_path / "a").write_text(f"{token(1)} and {token(2)} on one line\n{expand('{pem:RSA PRIVATE KEY}', 1)}\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(token(3).encode()))
    (tmp_path / "c").write_text(expand("{b64(token " + token(4) + " here)}", 1))
    answer = monitor("scan", "--format", form, ".")
    assert answer.returncode == 1
    for n in range(1, 5):
        assert token(n)[8:20] not in answer.stdout + answer.stderr
        assert token(n)[-12:] not in answer.stdout + answer.stderr
    if form == "json":
        assert {"a", "b.gz", "c"} == {Path(row["path"]).name for row in json.loads(answer.stdout)}
    if form == "sarif":
        schema = ROOT / "tests" / "monitor" / "scan" / "sarif-schema-2.1.0.json"
        document = json.loads(answer.stdout)
        jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(document)
        assert len(document["runs"][0]["results"]) >= 4


def test_text_shows_place_rule_preview_and_the_masked_line(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"x\n    key: {token(1)} end\n")
    answer = monitor("scan", "a.log")
    first, second = answer.stdout.splitlines()
    assert first.startswith("a.log:2:10: critical: GitHub personal access token [github-pat] ghp_")
    assert second.startswith("    key: ghp_")
    assert second.endswith("] end")
    assert answer.stderr == "1 finding in 1 file\n"


def test_standard_input(monitor: Command) -> None:
    answer = monitor("scan", "--format", "jsonl", "-", stdin=f"a\nb\n{token(1)}")
    assert [(row["path"], row["line"], row["column"]) for row in rows(answer)] == [("-", 3, 1)]
    assert monitor("scan", "-", stdin="").returncode == 0


def test_a_live_pipe_is_answered_line_by_line(tmp_path: Path) -> None:
    """Each answer is waited for before the next line is written."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "MONITOR_CONFIG": "config.toml"}
    with subprocess.Popen(
        [sys.executable, "-m", "monitor", "scan", "--format", "jsonl", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=environment, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for n in range(1, 4):
            process.stdin.write(f"line {token(n)}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == n
        process.stdin.close()
        assert process.wait(20) == 1


def test_filters(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[monitor]\nstate_dir='state'\n[rules]\npacks=['vcs/github', 'keys']\n")
    (tmp_path / "a").write_text(f"{token(1)}\n{expand('{pem:RSA PRIVATE KEY}', 1)}\n")
    everything = {row["rule"] for row in rows(monitor("scan", "-f", "jsonl", "a"))}
    assert len(everything) == 2
    answer = monitor("scan", "-f", "jsonl", "--rule", "github-pat", "a")
    assert {row["rule"] for row in rows(answer)} == {"github-pat"}
    assert {row["severity"] for row in rows(monitor("scan", "-f", "jsonl", "--severity", "critical", "a"))} == {
        "critical"
    }
    assert {row["confidence"] for row in rows(monitor("scan", "-f", "jsonl", "--confidence", "high", "a"))} == {"high"}


def test_suppressions(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"{token(1)}  # gitleaks:allow\n")
    answer = monitor("scan", "a")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert answer.stderr == "0 findings in 1 file, 1 silenced by comments\n"
    assert monitor("scan", "--no-suppressions", "a").returncode == 1


def test_baseline(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").write_text(f"{token(1)} {token(2)}\n")
    answer = monitor("scan", "--write-baseline", "base.json", "src")
    assert (answer.returncode, answer.stderr.splitlines()[-1]) == (0, "base.json: 2 secrets accepted")
    (tmp_path / "src" / "moved").write_text(f"\n\n{token(2)}\n")
    answer = monitor("scan", "--baseline", "base.json", "src")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert "3 in the baseline" in answer.stderr
    (tmp_path / "src" / "b").write_text(token(3))
    answer = monitor("scan", "--baseline", "base.json", "-f", "jsonl", "src")
    assert answer.returncode == 1
    assert [row["path"] for row in rows(answer)] == ["src/b"]
    (tmp_path / "src" / "b").unlink()
    (tmp_path / "base.json").rename(tmp_path / "src" / "base.json")  # in the tree, and no part of it
    answer = monitor("scan", "src", "--baseline", "./src/base.json")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert "in 2 files" in answer.stderr
    (tmp_path / "state" / "fingerprint.key").unlink()
    answer = monitor("scan", "--baseline", "src/base.json", "src")
    assert answer.returncode == 78
    assert "another fingerprint key" in answer.stderr


def test_trees_limits_and_what_cannot_be_read(monitor: Command, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    (tree / ".git" / "config").write_text(token(1))
    (tree / "ignored.log").write_text(token(2))
    (tree / ".gitignore").write_text("*.log\n")
    (tree / "big").write_text(token(3) + " " * 3000)
    (tree / "bin").write_bytes(b"\0" + token(4).encode())
    (tree / "bad.gz").write_bytes(gzip.compress(token(5).encode() * 100)[:-20])
    (tree / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text(token(6))
    answer = monitor("scan", "-f", "jsonl", "--gitignore", "--max-size", "2K", "--skip-binary", "tree")
    assert {row["path"] for row in rows(answer)} <= {"tree/bad.gz"}
    assert "tree/bad.gz: ends in the middle" in answer.stderr
    assert "1 could not be read" in answer.stderr
    paths = {row["path"] for row in rows(monitor("scan", "-f", "jsonl", "--git-folders", "tree"))}
    assert {"tree/.git/config", "tree/ignored.log", "tree/big", "tree/bin"} <= paths
    assert not any("link" in str(path) for path in paths)


def test_a_named_path_that_cannot_be_read_is_no_clean_bill(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "clean").write_text("nothing\n")
    (tmp_path / "dangling").symlink_to("gone")
    answer = monitor("scan", "clean", "dangling")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "dangling: No such file or directory" in answer.stderr
    assert "0 findings in 1 file, 1 could not be read" in answer.stderr
    (tmp_path / "leak").write_text(token(1))
    assert monitor("scan", "leak", "dangling").returncode == 1


def test_nor_is_one_that_cannot_be_read_to_its_end(monitor: Command, tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(200_000))
    (tmp_path / "cut.gz").write_bytes(packed[:100_000])
    answer = monitor("scan", "cut.gz")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "cut.gz: ends in the middle" in answer.stderr
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(tmp_path / "cut.gz", "inner.gz")
    assert monitor("scan", "outer.zip").returncode == 2
    assert monitor("scan", ".").returncode == 0  # of a folder that is said, and no more


def test_a_baseline_that_cannot_be_written_is_said_before_the_scan(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "leak").write_text(token(1))
    answer = monitor("scan", "leak", "--write-baseline", "gone/base.json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "gone/base.json: its folder is not one that this user may write to\n"


def test_names_that_are_not_utf8_and_gitignore(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / os.fsdecode(b"\xff")).write_text(token(1))
    (tmp_path / "d" / ".gitignore").write_text("*.log\n")
    assert [row["path"] for row in rows(monitor("scan", "-f", "jsonl", "--gitignore", "d"))] == ["d/\\udcff"]


def test_hostile_names_are_escaped(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    name = b"\x1b[31mred\n\xff"
    (tmp_path / "d" / os.fsdecode(name)).write_text(token(1))
    answer = monitor("scan", "d")
    assert "\x1b" not in answer.stdout
    assert "d/\\x1b[31mred\\n\\udcff:1:1" in answer.stdout
    assert rows(monitor("scan", "-f", "jsonl", "d"))[0]["path"] == "d/\x1b[31mred\n\\udcff"


def test_where_nothing_may_be_written_it_still_works(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "config.toml").write_text("[monitor]\nstate_dir = 'file/state'\n[rules]\npacks = ['vcs/github']\n")
    (tmp_path / "a").write_text(token(1))
    answer = monitor("scan", "-f", "jsonl", "a")
    assert answer.returncode == 1
    assert len(rows(answer)) == 1
    assert "fingerprints hold for this run only" in answer.stderr
    assert monitor("scan", "--write-baseline", "b.json", "a").returncode == 78


def test_rules_that_do_not_come_compiled_are_kept_for_the_next_start(monitor: Command, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state" / "cache")
    (tmp_path / "a").write_text("x")
    monitor("scan", "a")
    assert {path.suffix for path in (tmp_path / "state" / "cache").iterdir()} == {".hsdb", ".key"}


def test_reveal_and_colour_on_a_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"key {token(1)} end\n")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "MONITOR_CONFIG": "config.toml",
        "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200",
    }  # fmt: skip
    for option, shown in ((["--reveal"], True), ([], False)):
        child = pexpect.spawn(
            sys.executable, ["-m", "monitor", "scan", *option, "a"], cwd=tmp_path, env=environment,  # type: ignore[arg-type]
            timeout=300, encoding="utf-8", dimensions=(50, 200),
        )  # fmt: skip
        output = child.read()
        child.close()
        assert child.exitstatus == 1
        assert (token(1) in output) is shown
        assert "\x1b[" in output


def test_ctrl_c_ends_at_once_what_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_text(token(1))
    command = [sys.executable, "-m", "monitor", "scan", "-f", "jsonl", "--threads", "1", *["a"] * 64 * 5, "pipe"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MONITOR_CONFIG": "config.toml",
        "PYTHONPATH": str(ROOT),
    }
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"path":"a"' in process.stdout.readline()  # the scan is on its way
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "sarif"])
def test_a_secret_in_a_name_is_masked_wherever_names_go(monitor: Command, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / f"{token(2)}.log").write_text(f"token={token(1)}\n")
    (folder / f"{token(3)}.zip").write_bytes(b"PK\x03\x04" + bytes(40))  # damaged, so it is complained of
    (folder / f"{token(4)}\x9b.log").write_text(f"token={token(1)}\n")
    output = ""
    for arguments in ((), ("--write-baseline", "known.json")):
        answer = monitor("scan", "--format", form, "tree", *arguments)
        output += answer.stdout + answer.stderr
    output += (tmp_path / "known.json").read_text()
    assert "tree" in output
    assert not [n for n in range(1, 5) if token(n)[8:20] in output]
    assert "\x9b" not in output


def test_a_rule_from_elsewhere_moves_no_cursor(monitor: Command, tmp_path: Path) -> None:
    rule = '[[rule]]\nid = "x"\nname = "a\\u001b]0;b\\u0007"\nseverity = "high"\npattern = "abcd[0-9]{8}"\n'
    (tmp_path / "r.toml").write_text(rule + 'examples = ["abcd12345678"]\n')
    (tmp_path / "config.toml").write_text("[rules]\npaths = ['r.toml']\n")
    answer = monitor("scan", "r.toml")
    assert answer.returncode == 78
    assert "name" in answer.stderr
    assert "\x1b" not in answer.stdout + answer.stderr


def test_one_path_that_is_missing_does_not_keep_the_others_from_being_scanned(monitor: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing here\n")
    answer = monitor("scan", "gone.txt", "a.txt")
    assert answer.returncode == 2
    assert "gone.txt: " in answer.stderr
    assert "1 file" in answer.stderr


@pytest.fixture
def owned(tmp_path: Path) -> str:
    """A value that an entry of the inventory gives and that stands in a.log."""
    value = expand("{alnum:40}", 77)
    (tmp_path / "own.env").write_text(f"GATEWAY_KEY={value}\n")
    (tmp_path / "config.toml").write_text(
        '[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n[[inventory]]\nname = "gateway"\n'
        'type = "dotenv"\npath = ["own.env"]\nenvironment = "staging"\n'
    )
    (tmp_path / "a.log").write_text(f"said {value}\n")
    return value


def test_our_own_secrets_are_found_under_their_names(monitor: Command, tmp_path: Path, owned: str) -> None:
    answer = monitor("scan", "--inventory", "--rule", "own-secret", "a.log")
    assert answer.returncode == 1, answer.stderr
    assert "GATEWAY_KEY (staging): secret of our own [own-secret]" in answer.stdout
    assert not any(owned[at : at + 8] in answer.stdout + answer.stderr for at in range(33))
    assert not (tmp_path / "state" / "state.db").exists()


def test_every_format_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owned: str) -> None:
    from monitor.config.config import load
    from monitor.config.state import key
    from monitor.inventory.query import ask

    settings = load(tmp_path / "config.toml")
    [entry] = [one for one in settings.inventory if one.name == "gateway"]
    known = asyncio.run(ask(entry, tmp_path, key(settings), str))

    async def again(*_: object) -> object:
        return known

    monkeypatch.setattr("monitor.scan.own.ask", again)
    monkeypatch.setattr("monitor.cli.scan.started", lambda: None)  # this process goes on for long
    command = in_process(tmp_path, monkeypatch)
    for form in ("json", "jsonl", "sarif"):
        answer = command("scan", "--inventory", "--format", form, "a.log")
        assert answer.returncode == 1, answer.stderr
        assert "GATEWAY_KEY (staging): secret of our own" in answer.stdout, form
        assert owned[8:16] not in answer.stdout + answer.stderr


def test_an_inventory_that_is_not_there_or_cannot_be_read_is_no_clean_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr("monitor.cli.scan.started", lambda: None)  # this process goes on for long
    (tmp_path / "clean").write_text("nothing\n")
    (tmp_path / "config.toml").write_text('[monitor]\nstate_dir = "state"\n[rules]\npacks = ["vcs/github"]\n')
    answer = command("scan", "--inventory", "clean")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "there is no [[inventory]] in the configuration" in answer.stderr
    assert "no rule is called 'own-secret'" in command("scan", "--rule", "own-secret", "clean").stderr
    with (tmp_path / "config.toml").open("a") as file:
        file.write('[[inventory]]\nname = "gateway"\ntype = "dotenv"\npath = ["gone.env"]\n')
    answer = command("scan", "--inventory", "clean")
    assert answer.returncode == 2, answer.stderr
    assert "config.toml: inventory gateway: " in answer.stderr
    assert "1 could not be read (in full)" in answer.stderr
