"""`make release KEY=…` and `make reproducible` (docs/release.md): what a tag releases, built from clean clones of it.

Python alone, with git, make, gpg and apt-ftparchive. What is built comes from targets of the Makefile, which leave it
in `dist/`; here is only what joins it: what must hold before, checksums, signatures and the repository for apt.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ("wheel", "sbom", "site-archive", "packages", "image")  # targets; the last two need root
SUITES = {"deb12": "bookworm", "deb13": "trixie"}  # by what the version of a package says; others are for all
KEYRING, SUMS = "exposure-monitor.gpg", "SHA256SUMS"
# Of the second of two builds, which shall not show in what is built.
OTHER = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7"}


class RefusedError(Exception):
    """Why there is no release."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("release")
    command.add_argument("key", help="the gpg key that signs, by fingerprint or address")
    command.add_argument("folder", type=Path, help="where releases and the repository are kept")
    command.set_defaults(run=lambda given: release(given.key, given.folder.resolve()))
    command = commands.add_parser("reproducible")
    command.add_argument("targets", nargs="*", default=BUILT, help="of the Makefile")
    command.set_defaults(run=lambda given: reproducible(given.targets))
    given = parser.parse_args()
    try:
        given.run(given)
    except (RefusedError, OSError) as refused:
        sys.exit(f"release: {refused}")


def release(key: str, releases: Path) -> None:
    """Everything, or nothing: `releases/VERSION` is there when all of it has been made and verified."""
    number, key = version(ROOT), fingerprint(key)
    if reasons := [*refusals(ROOT, releases, number, key)]:
        raise RefusedError("\nrelease: ".join(reasons))
    with aside() as folder:
        dist = build(folder / "clone", ("test", *BUILT))
        print(f"{number} is in {publish(dist, releases, number, key)}, for apt in {releases / 'apt'}")


def reproducible(targets: Sequence[str]) -> None:
    """Two builds of this commit, of unlike places, hours, languages and permissions."""
    with aside() as folder:
        first = sums(build(folder / "one", targets))
        before = os.umask(0o002)
        second = sums(build(folder / "another/of/a/longer/name", targets, OTHER))
        os.umask(before)
    print(first, end="")
    if unlike := sorted({*first.splitlines()} ^ {*second.splitlines()}):
        raise RefusedError("two builds of one commit differ:\n" + "\n".join(unlike))
    print("Two builds of one commit are the same, byte for byte.")


@contextmanager
def aside() -> Iterator[Path]:
    """A folder that others may read: tests run the program as other users."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def version(root: Path) -> str:
    """The one place that says it."""
    said = re.search(r'^__version__ = "(.+)"$', (root / "monitor/__init__.py").read_text(), re.MULTILINE)
    assert said
    return said[1]


def refusals(root: Path, releases: Path, number: str, key: str) -> Iterator[str]:
    """Why this commit is not to be released, each with what to do."""
    tag = f"v{number}"
    if run("git", "status", "--porcelain", cwd=root):
        yield "the tree is not clean: commit, or stash"
    if tag not in run("git", "tag", "--points-at", "HEAD", cwd=root).split():
        yield f"this commit has no tag {tag}: git tag --sign {tag}"
    elif key not in run("git", "verify-tag", "--raw", tag, cwd=root, check=False):
        yield f"{tag} is not signed by {key}: git tag --force --sign --local-user={key} {tag}"
    if (releases / number).exists():
        yield f"{number} is released already, in {releases}: raise __version__ in monitor/__init__.py"
    changes = (root / "CHANGELOG.md").read_text()
    if not re.search(rf"^## {re.escape(number)} - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        yield f"CHANGELOG.md has no section “{number} - ” with a date"


def build(clone: Path, targets: Sequence[str], settings: Mapping[str, str] | None = None) -> Path:
    """What these targets of the Makefile build of the present commit, in a clean clone of it."""
    run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    run("git", "checkout", "--quiet", "--detach", run("git", "rev-parse", "HEAD", cwd=ROOT).strip(), cwd=clone)
    when = run("git", "log", "-1", "--format=%ct", cwd=clone).strip()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": when, **(settings or {})}
    for target in targets:
        print(f"make {target}", file=sys.stderr)
        done = subprocess.run(["make", target], cwd=clone, env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise RefusedError(f"make {target} failed")
    if dirty := run("git", "status", "--porcelain", cwd=clone):
        raise RefusedError(f"to build it changed what it is built from:\n{dirty}")
    return clone / "dist"


def publish(dist: Path, releases: Path, number: str, key: str) -> Path:
    """The release of what was built: with checksums, signed, verified, and in the repository for apt."""
    new = releases / f".{number}"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(dist, new)
    gpg(key, "--output", str(new / KEYRING), "--export", key)
    (new / SUMS).write_text(sums(new))
    gpg(key, "--armor", "--output", str(new / f"{SUMS}.asc"), "--detach-sign", str(new / SUMS))
    run("gpgv", "--keyring", f"./{KEYRING}", f"{SUMS}.asc", SUMS, cwd=new)
    run("sha256sum", "--check", "--strict", SUMS, cwd=new)
    repository(releases / "apt", [*new.glob("*.deb")], key)
    return new.rename(releases / number)


def sums(folder: Path) -> str:
    """As sha256sum writes and reads it."""
    files = (path for path in sorted(folder.iterdir()) if not path.name.startswith(SUMS))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def repository(apt: Path, debs: list[Path], key: str) -> None:
    """These packages beside those of earlier releases, so that hosts upgrade, and go back, by apt."""
    for deb in debs:
        for suite in [suite for word, suite in SUITES.items() if word in deb.name] or SUITES.values():
            (pool := apt / "pool" / suite).mkdir(parents=True, exist_ok=True)
            if (old := pool / deb.name).exists() and not filecmp.cmp(deb, old, shallow=False):
                raise RefusedError(f"{old} is another package of this name: hosts may have it already")
            shutil.copy(deb, old)
    for suite in SUITES.values():
        if (apt / "pool" / suite).exists():
            indexed(apt, suite, key)


def indexed(apt: Path, suite: str, key: str) -> None:
    """The lists of one suite: InRelease is the one that is signed, and names the others by their hashes."""
    index = apt / "dists" / suite / "main/binary-amd64"
    index.mkdir(parents=True, exist_ok=True)
    packages = run("apt-ftparchive", "--arch", "amd64", "packages", f"pool/{suite}", cwd=apt)
    (index / "Packages").write_text(packages)
    (index / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))
    about = {"Origin": "exposure-monitor", "Label": "exposure-monitor", "Suite": suite, "Codename": suite}
    about |= {"Architectures": "amd64", "Components": "main"}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in about.items()]
    signed = apt / "dists" / suite / "InRelease"
    with tempfile.TemporaryDirectory() as folder:
        (unsigned := Path(folder) / "Release").write_text(
            run("apt-ftparchive", *options, "release", f"dists/{suite}", cwd=apt)
        )
        gpg(key, "--output", f"{unsigned}.signed", "--clear-sign", str(unsigned))
        shutil.copy(f"{unsigned}.signed", new := signed.with_suffix(".new"))
    new.rename(signed)


def fingerprint(key: str) -> str:
    """Of the one key of this name."""
    listed = run("gpg", "--batch", "--with-colons", "--list-secret-keys", "--", key, check=False)
    found = re.findall(r"^sec:.*\n(?:grp:.*\n)*fpr:+([0-9A-F]+):", listed, re.MULTILINE)
    if len(found) != 1:
        raise RefusedError(f"KEY={key} names {len(found)} secret keys of gpg, and not one: gpg --list-secret-keys")
    return str(found[0])


def gpg(key: str, *arguments: str) -> None:
    # A passphrase is the agent's to ask for.
    run("gpg", "--batch", "--yes", "--digest-algo", "SHA512", "--local-user", key, *arguments)


def run(*command: str, cwd: Path | None = None, check: bool = True) -> str:
    """What it prints, also of a failure unless that is an error."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RefusedError(f"{command[0]} is needed: apt-get install git make gpg gpgv apt-utils") from None
    if check and done.returncode:
        raise RefusedError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout + (done.stderr if not check else "")


if __name__ == "__main__":
    main()
