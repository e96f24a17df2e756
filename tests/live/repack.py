"""A package with another version or architecture: what a release to come would look like to dpkg."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

__all__ = ["repacked"]


def repacked(package: Path, target: Path, version: str = "", architecture: str = "") -> None:
    """The same files, quickly compressed."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
        control = tree / "DEBIAN/control"
        text = control.read_text(encoding="utf-8")
        old = re.search(r"^Version: (.+)", text, re.MULTILINE)
        if version and old:
            text = text.replace(f"Version: {old[1]}", f"Version: {version}")
            preinst = tree / "DEBIAN/preinst"
            preinst.write_text(preinst.read_text(encoding="utf-8").replace(old[1], version), encoding="utf-8")
        if architecture:
            text = text.replace("Architecture: amd64", f"Architecture: {architecture}")
        control.write_text(text, encoding="utf-8")
        subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "-b", tree, target], check=True, capture_output=True)
