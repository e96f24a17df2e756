"""What we give to runners: action.yml and ci/gitlab.yml, by running their steps with real git, and by zizmor."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from detectors.rules.template import expand
from monitor.audit.workflows import zizmor
from tests.detectors import texts
from tests.fakes import runner
from tests.fakes.forks import Forks
from tests.fakes.repository import Repository, environment

ROOT = Path(__file__).parent.parent
ACTION, TEMPLATE = ROOT / "action.yml", ROOT / "ci/gitlab.yml"
NONE = "0" * 40


def token(n: int) -> str:
    return expand("ghp_{alnum:30}{crc32}", n)


class World:
    """A server, a developer's clone of it, and a runner with a Python that installs a monitor in an instant."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder = folder
        (folder / "config.toml").write_text(
            f'[monitor]\nstate_dir = "{folder}/state"\n[rules]\npacks = ["vcs/github"]\n'
        )
        texts.lend(folder / "state/cache")
        self.server = Repository(folder / "server", "--bare")
        self.mine = Repository(folder / "mine")
        self.mine.git("remote", "add", "origin", str(self.server.folder))
        more = {"HOME": str(folder), "MONITOR_CONFIG": str(folder / "config.toml"), "PYTHONWARNINGS": "error"}
        self.env = environment(**more)
        forks.shim(folder / "monitor", self.env)
        python = folder / "python"
        python.write_text(
            f'#!/bin/sh\necho "$@" >>{folder}/installed\n[ "$3" = venv ] || exit 0\nmkdir -p "$4/bin"\n'
            f'cp {python} "$4/bin/python"\ncp {folder}/monitor "$4/bin/monitor"\n'
        )
        python.chmod(0o755)
        self.runs = 0

    def commit(self, *arguments: Any, push: str = "") -> str:
        name = self.mine.commit(*arguments)
        if push:
            self.mine.git("push", "-q", "-f", "origin", f"HEAD:{push}")
        return name

    def checkout(self, name: str, *options: str) -> Repository:
        """As a runner makes it: of one commit only, unless `options` say more."""
        self.runs += 1
        made = Repository(self.folder / f"checkout-{self.runs}")
        made.git("remote", "add", "origin", f"file://{self.server.folder}")
        made.git("fetch", "-q", "--no-tags", *(options or ("--depth=1",)), "origin", f"+{name}:refs/remotes/origin/it")
        made.git("checkout", "-q", "--detach", name)
        return made

    def github(self, name: str, ref: str, event: Mapping[str, Any], *options: str, **inputs: str) -> runner.Run:
        checkout = self.checkout(name, *options)
        context = {"sha": name, "ref": ref, "event": {"repository": {"default_branch": "main"}, **event}}
        temp = self.folder / f"temp-{self.runs}"
        python = str(self.folder / "python")
        return runner.github(ACTION, checkout.folder, temp, context, self.env, python=python, **inputs)

    def push(self, before: str, after: str, ref: str = "refs/heads/main", *options: str) -> runner.Run:
        return self.github(after, ref, {"before": before, "after": after}, *options)


@pytest.fixture
def world(tmp_path: Path, forks: Forks) -> World:
    return World(tmp_path, forks)


def found(run: runner.Run) -> list[str]:
    """What a code host is told, which is what the annotations say."""
    assert run.code in (0, 1), run.err
    results = json.loads(run.files["sarif"].read_text())["runs"][0]["results"]
    places = [
        (one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], one["properties"]["git"]["first"])
        for one in results
    ]
    assert [line for line in run.out.splitlines() if "::" in line] == re.findall(r"^::error file=.*$", run.out, re.M)
    assert len(re.findall(r"^::error file=", run.out, re.M)) == len(places)
    assert run.code == bool(places), run.err
    return sorted(path for path, _ in places)


def test_a_pull_request_is_looked_at_from_its_base_to_its_head(world: World) -> None:
    old = world.commit({"old": f"{token(1)}\n"}, push="main")
    world.mine.git("checkout", "-q", "-b", "topic")
    world.commit({"a%,:b": f"x\n{token(2)}\n"})
    head = world.commit({"a%,:b": "x\n"}, push="topic")  # in its history all the same
    world.mine.git("checkout", "-q", "main")
    base = world.commit({"other": f"{token(3)}\n"}, push="main")
    world.mine.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    merge = world.commit({}, push="refs/pull/1/merge")
    event = {"pull_request": {"base": {"sha": base}, "head": {"sha": head}}, "before": old}
    run = world.github(merge, "refs/pull/1/merge", event)
    assert found(run) == ["a%25%2C%3Ab"]
    assert "::error file=a%25%2C%3Ab,line=2,title=GitHub personal access token::a%25,:b:2: GitHub" in run.out
    assert "1 finding in 2 commits" in run.err
    assert token(2)[8:] not in run.out + run.err + run.files["sarif"].read_text()
    group = {"merge_group": {"base_sha": base, "head_sha": merge}}
    assert found(world.github(merge, "refs/heads/queue", group)) == ["a%25%2C%3Ab"]
    world.mine.git("checkout", "-q", "topic")
    clean = world.commit({"a": "fine\n"}, push="clean")
    event = {"pull_request": {"base": {"sha": head}, "head": {"sha": clean}}}
    assert found(world.github(clean, "refs/pull/2/merge", event)) == []


def test_a_push_is_looked_at_for_what_it_brings(world: World) -> None:
    first = world.commit({"old": f"{token(1)}\n"}, push="main")
    assert found(world.push(NONE, first)) == ["old"]  # of the default branch all is new
    second = world.commit({"b": f"{token(2)}\n"}, push="main")
    assert found(world.push(first, second, "refs/heads/main", "--depth=2")) == ["b"]
    new = world.commit({"c": f"{token(3)}\n"}, push="topic")
    assert found(world.push(NONE, new, "refs/heads/topic")) == ["c"]
    world.mine.git("reset", "-q", "--hard", second)
    forced = world.commit({"d": f"{token(4)}\n"}, push="topic")
    assert found(world.push(new, forced, "refs/heads/topic")) == ["d"]  # the server has what was there before
    assert found(world.push("1" * 40, forced, "refs/heads/topic")) == ["d"]  # and here no more
    world.mine.git("tag", "-a", "v1", second, "-m", f"with {token(5)}")
    world.mine.git("push", "-q", "origin", "v1")
    assert found(world.push(NONE, second, "refs/tags/v1")) == ["%28tag%20message%29"]
    world.mine.git("checkout", "-q", "-b", "side", second)
    world.commit({"e": "x\n"})
    world.mine.git("checkout", "-q", "main")
    world.mine.git("reset", "-q", "--hard", second)
    world.mine.git("merge", "-q", "--no-ff", "--no-commit", "side")
    merge = world.commit({"e": f"{token(6)}\n"}, push="main")
    assert found(world.push(second, merge)) == ["e"]  # what a merge alone brings


def test_what_cannot_be_known_stops_a_run(world: World) -> None:
    name = world.commit({"a": "x\n"})
    last = world.commit({"a": "y\n"}, push="main")
    for head, said in ((last, "fetch-depth: 0"), ("$(id)", "EXPOSURE_HEAD is no whole name of a commit")):
        checkout = world.checkout(last)
        checkout.git("remote", "set-url", "origin", "/nonexistent")
        context = {"sha": head, "ref": "refs/heads/main", "event": {"before": name}}
        python = str(world.folder / "python")
        run = runner.github(ACTION, checkout.folder, world.folder / "temp", context, world.env, python=python)
        assert run.code == 2
        assert said in run.err


def test_what_is_installed_is_what_was_looked_at(world: World) -> None:
    world.push(NONE, world.commit({"a": "x\n"}, push="main"))
    asked = (world.folder / "installed").read_text().splitlines()
    assert [line for line in asked if " install " in line] == [
        "-I -m pip --disable-pip-version-check --no-input install --quiet "
        f"--require-hashes --requirement {ROOT}/requirements.lock",
        f"-I -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation {ROOT}",
    ]


PLANTED = ("venv", "pip", "ensurepip", "sitecustomize", "usercustomize", "hatchling", "json", "monitor", "backend")
BACKEND = """import zipfile


def build_wheel(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/ours-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ours.py", "def main(): print('ours')")
        wheel.writestr("ours-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: ours\\nVersion: 1\\n")
        wheel.writestr("ours-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("ours-1.dist-info/entry_points.txt", "[console_scripts]\\nmonitor = ours:main\\n")
        wheel.writestr("ours-1.dist-info/RECORD", "")
    return "ours-1-py3-none-any.whl"
"""


def test_nothing_of_what_is_scanned_runs_while_we_are_installed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    (ours / "ci").mkdir(parents=True)
    shutil.copy(ROOT / "ci/install.sh", ours / "ci/install.sh")
    (ours / "requirements.lock").write_text("")
    (ours / "backend.py").write_text(BACKEND)
    (ours / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    theirs.mkdir()
    for name in PLANTED:
        (theirs / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(0)\n"
        )
    (theirs / "python").symlink_to(sys.executable)
    for number, python in enumerate((sys.executable, "./python")):
        env = os.environ | {"PYTHON": python, "PYTHONPATH": ".", "PIP_NO_INDEX": "1"}
        made = [str(ours / "ci/install.sh"), f"../made-{number}"]
        done = subprocess.run(made, cwd=theirs, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr
        assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


# What GitLab's schema of this report (15.0.6) asks of what we write, in our own words.
REPORT = {
    "type": "object",
    "required": ["scan", "version", "vulnerabilities"],
    "properties": {
        "version": {"pattern": r"^15\.0\.\d+$"},
        "scan": {
            "required": ["analyzer", "end_time", "scanner", "start_time", "status", "type"],
            "properties": {
                "type": {"const": "secret_detection"},
                "status": {"enum": ["success", "failure"]},
                "start_time": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"},
                "end_time": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"},
                "analyzer": {"required": ["id", "name", "version", "vendor"]},
                "scanner": {"required": ["id", "name", "version", "vendor"]},
            },
        },
        "vulnerabilities": {
            "items": {
                "required": ["id", "identifiers", "location"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "severity": {"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
                    "identifiers": {"minItems": 1, "items": {"required": ["type", "name", "value"]}},
                    "location": {
                        "required": ["commit"],
                        "properties": {
                            "commit": {"required": ["sha"], "properties": {"sha": {"minLength": 1}}},
                            "start_line": {"type": "number"},
                            "end_line": {"type": "number"},
                        },
                    },
                },
            }
        },
    },
}


def test_a_job_of_gitlab_looks_at_a_merge_request_a_branch_and_a_tag(world: World) -> None:
    source = Repository(world.folder / "source")
    source.write({name: (ROOT / name).read_bytes() for name in ("ci/scan.sh", "ci/install.sh", "requirements.lock")})
    for name in ("scan.sh", "install.sh"):
        source.git("update-index", "--chmod=+x", f"ci/{name}")
    ours = source.commit({})
    base = world.commit({"old": f"{token(1)}\n"}, push="main")
    bad = world.commit({"a": f"{token(2)}\n"})
    head = world.commit({"b": "x\n"}, push="topic")
    world.mine.git("tag", "-a", "v1", base, "-m", f"with {token(3)}")
    world.mine.git("push", "-q", "origin", "v1")
    bin_ = world.folder / "bin"
    bin_.mkdir()
    (bin_ / "python3").symlink_to(world.folder / "python")

    def run(name: str, **variables: str) -> tuple[int, list[tuple[str, str]]]:
        always = {
            "CI_COMMIT_SHA": name, "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_BEFORE_SHA": NONE,
            "EXPOSURE_SOURCE": str(source.folder), "EXPOSURE_COMMIT": ours,
        }  # fmt: skip
        path = f"{bin_}:{world.env['PATH']}"
        folder = world.checkout(name, "--depth=1000000").folder
        done = runner.gitlab(TEMPLATE, folder, {**always, **variables}, {**world.env, "PATH": path})
        if "secret_detection" not in done.files or not done.files["secret_detection"].exists():
            return done.code, [("", done.err)]
        report = json.loads(done.files["secret_detection"].read_text())
        jsonschema.Draft7Validator(REPORT).validate(report)
        places = [(one["location"]["file"], one["location"]["commit"]["sha"]) for one in report["vulnerabilities"]]
        assert not [n for n in range(1, 4) if token(n)[8:] in json.dumps(report) + done.out + done.err]
        return done.code, places

    asked = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_COMMIT_REF_NAME": "topic"}
    assert run(head, **asked) == (1, [("a", bad)])
    merged = {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": head, **asked}
    assert run(head, **merged) == (1, [("a", bad)])
    assert run(head, CI_COMMIT_BEFORE_SHA=bad, CI_COMMIT_REF_NAME="topic") == (0, [])
    assert run(head, CI_COMMIT_REF_NAME="topic") == (1, [("a", bad)])
    assert run(base, CI_COMMIT_TAG="v1", CI_COMMIT_REF_NAME="v1")[1][0][0] == "(tag message)"
    code, told = run(head, EXPOSURE_COMMIT=NONE, **asked)
    assert code != 0
    assert told[0][0] == ""


def test_they_are_well_formed_and_zizmor_finds_nothing(tmp_path: Path) -> None:
    """It holds them against the schemas of GitHub's files, too."""
    workflow, included, upload = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/git.md").read_text(), re.M | re.S)
    told = yaml.safe_load(workflow)
    assert set(told[True]) == {"push", "pull_request"}  # `on`, as YAML reads it
    assert told["permissions"] == {}
    (tmp_path / ".github/workflows").mkdir(parents=True)
    pinned = re.sub(r"@v\d+ # better: the whole name of its commit", f"@{'1' * 40} # v1", workflow + upload)
    (tmp_path / ".github/workflows/secrets.yml").write_text(pinned)
    (tmp_path / "action.yml").write_text(ACTION.read_text())
    program = zizmor()
    assert program is not None
    options = ["--offline", "--no-config", "--strict-collection", "--format", "plain", "--color", "never"]
    command = [program, *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = yaml.safe_load(TEMPLATE.read_text())
    assert set(yaml.safe_load(included)[job]["variables"]) == {"EXPOSURE_SOURCE", "EXPOSURE_COMMIT"}
