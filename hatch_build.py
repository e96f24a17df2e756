"""Run by hatchling when it builds a wheel: puts the shipped rules in it compiled, which spares the first start that."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledRules(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """A wheel without them works as well, so that they cannot be made is no error."""
        if version == "editable":  # `make run` makes them in the checkout
            return
        self._made = tempfile.TemporaryDirectory(prefix="compiled-rules-")
        make = [sys.executable, "-B", "-m", "detectors.compile.prebuilt", self._made.name]
        path = os.pathsep.join(filter(None, [self.root, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path}  # and not what an older version has left installed
        done = subprocess.run(make, cwd=self.root, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            self.app.display_warning(f"the first start will compile the rules, as that failed here: {last}")
            return
        inside = {str(file): f"detectors/compiled/{file.name}" for file in Path(self._made.name).iterdir()}
        build_data["force_include"].update(inside)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._made.cleanup()
