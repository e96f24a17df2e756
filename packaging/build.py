"""`make packages`: .deb for Debian 12 and 13 and an .rpm, each made in a root of its Debian by debootstrap. Needs root.

    python3 packaging/build.py [--out dist] [--release 1] [--commit HEAD] [bookworm trixie]

Made from a commit, not from what lies in the folder; `make reproducible` makes them twice and compares.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from roots import Root, builder

HERE = Path(__file__).resolve().parent.parent
DEBIANS = ("bookworm", "trixie")
RPM_OF = "bookworm"  # its Python, 3.11, is in RHEL 9 and its kin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "dist")
    parser.add_argument("--release", default="1", help="of the package, for one version of the program")
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("debians", nargs="*", default=DEBIANS)
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("make packages needs root: it makes roots with debootstrap and enters them")
    given.out.mkdir(parents=True, exist_ok=True)
    for debian in given.debians:
        for path in build(debian, given.commit, given.release, given.out):
            sys.stdout.write(f"{path}\n")


def build(debian: str, commit: str, release: str, out: Path) -> list[Path]:
    """The packages of a commit for this Debian."""
    with Root(builder(debian), "build") as root:
        work = root.path / "build"
        (work / "source").mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=HERE, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", work / "source"], input=archive, check=True)
        stamp = ["git", "log", "-1", "--format=%ct", commit]
        epoch = subprocess.run(stamp, cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()
        script = "/build/source/packaging/tree.py"
        root.run("python3", "-B", script, "/build/source", "/build/out", release, SOURCE_DATE_EPOCH=epoch)
        out.mkdir(parents=True, exist_ok=True)
        made = [path for path in sorted((work / "out").iterdir()) if path.suffix == ".deb" or debian == RPM_OF]
        return [Path(shutil.copy(path, out)) for path in made]


if __name__ == "__main__":
    main()
