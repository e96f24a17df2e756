"""Logs of containers as Docker and the kubelet keep them: files, whose lines are unwrapped before they are scanned."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

from monitor.intake.protocol import Intake
from monitor.sources.base import SourceConfig
from monitor.sources.file.source import FileConfig, FileSource
from monitor.sources.unwrap import unwrapped

__all__ = ["ContainerConfig", "ContainerSource"]

_POD = re.compile(r"/(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_[^/]+/(?P<container>[^/]+)/[^/]+$")
_LINK = re.compile(r"/(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/]+)-[0-9a-f]{64}\.log")
_ID = re.compile(r"/(?P<id>[0-9a-f]{12})[0-9a-f]{52}/[^/]+$")
_KNOWN = 1000  # files whose provenance is remembered
_LARGEST = 1 << 20  # bytes of Docker's description of a container


EXAMPLE = """
# Logs of containers, as Docker (json-file) and the kubelet keep them. Has the keys of a file source.
[[sources]]
name = "containers"
type = "container"
#audit = "vault"                # as for files
#environment = "staging"        # default: "", as for files
#include = ["/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log"]
#exclude = ["/var/log/pods/kube-system_*/**"]
#start_at = "end"
#reconcile = "1s"
#quiet = "1s"
"""


class ContainerConfig(FileConfig):
    """Follows logs of containers: Docker's json-file and the CRI format of containerd and CRI-O. Lines are unwrapped
    and the pieces of long ones joined before they are scanned. It has the keys of a source `file`, and promises the
    same.

    - `include`: where logs of containers lie; `/var/log/containers/*.log` works too: links are followed

    An alert names namespace, pod and container from the path, and Docker's name and image where its `config.v2.json`
    may be read; offset and line are those of the file. Leave these files out of other sources, or their secrets are
    counted twice.
    """

    type: Literal["container"] = "container"  # type: ignore[assignment]
    include: tuple[str, ...] = ("/var/log/pods/*/*/*.log", "/var/lib/docker/containers/*/*-json.log")


class ContainerSource(FileSource):
    """A file source, with everything that holds for it."""

    Config: ClassVar[type[SourceConfig]] = ContainerConfig

    def __init__(self, config: ContainerConfig, intake: Intake, key: bytes) -> None:
        about = lru_cache(_KNOWN)(_about)
        super().__init__(config, intake, key, lambda block: replace(unwrapped(block), attributes=about(block.path)))


def _about(path: str) -> dict[str, str]:
    """Pod, namespace, container and image, as far as the path and Docker's own files tell. Blocking."""
    for pattern in (_LINK, _POD):
        if found := pattern.search(path):
            about = dict(found.groupdict())
            return {"service": f"{about['namespace']}/{about['container']}", **about}
    found = _ID.search(path)
    if found is None:
        return {}
    about = {"container": found["id"]}
    try:
        with open(os.path.join(os.path.dirname(path), "config.v2.json"), "rb") as file:
            described: dict[str, Any] = json.loads(file.read(_LARGEST))
        name, image = str(described.get("Name", "")).lstrip("/"), str(described.get("Config", {}).get("Image", ""))
    except (OSError, ValueError, AttributeError):
        return about
    return {key: value for key, value in {**about, "service": name, "image": image}.items() if value}
