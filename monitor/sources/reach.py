"""What a source reads, as a hash: by it the positions of one that got another name are found again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from monitor.common.credential import Credential
from monitor.sources.base import SourceConfig

__all__ = ["reach"]


def reach(config: SourceConfig, key: bytes) -> str:
    """The same for two configurations that read the same, whatever they are called and however they go about it.
    Keyed, as paths and addresses may hold a secret."""
    read = [config.type, *([name, _plain(getattr(config, name))] for name in config.reach)]
    derived = hashlib.blake2b(key, digest_size=32, person=b"source reach").digest()
    return hashlib.blake2b(json.dumps(read).encode(), key=derived, digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return sorted(json.dumps(_plain(one)) for one in value)  # in whatever order they are listed
    if isinstance(value, Credential):
        return value.reference
    return None if value is None else str(value)
