"""systemd's credentials: what lies in a folder for services, in the clear or encrypted."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from monitor.clients.client import ServiceError
from monitor.common.fields import LocalPath
from monitor.common.text import printable
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ManagerConfig

__all__ = ["SystemdConfig", "SystemdManager"]

_STORES = (Path("/etc/credstore"), Path("/etc/credstore.encrypted"))
_LARGEST = 1 << 20  # bytes of a credential, by systemd


EXAMPLE = """
#[[inventory]]
#name = "credentials"
#type = "systemd"
#path = ["/etc/credstore", "/etc/credstore.encrypted"]  # of the latter names and ages
"""


class SystemdConfig(ManagerConfig):
    """Reads [credentials](https://systemd.io/CREDENTIALS/) of systemd: the files of `/etc/credstore` and folders like
    it.

    - `path`: folders; of one whose name ends in `.encrypted` only names and ages are known

    **Names** are the files'. It needs to read the files, no more.
    """

    type: Literal["systemd"]
    path: tuple[LocalPath, ...] = Field(default=_STORES, min_length=1)


class SystemdManager:
    Config: ClassVar[type[ManagerConfig]] = SystemdConfig

    def __init__(self, config: SystemdConfig) -> None:
        self.config = config

    async def held(self) -> AsyncIterator[HeldSecret]:
        several = len(self.config.path) > 1
        for folder in self.config.path:
            for file in await asyncio.to_thread(self._files, folder):
                held = await asyncio.to_thread(self._read, file, several)
                if held is not None:
                    yield held

    async def doctor(self) -> list[str]:
        return await asyncio.to_thread(self._faults)

    async def close(self) -> None:
        pass

    def _files(self, folder: Path) -> list[Path]:
        """Its files, by name; a folder that is not there has none, if another one is. Blocking."""
        try:
            with os.scandir(folder) as entries:
                return sorted(Path(entry.path) for entry in entries if entry.is_file())
        except FileNotFoundError:
            if any(other.is_dir() for other in self.config.path):
                return []
            raise self._failure(folder, "no such folder: check `path`") from None
        except OSError as error:
            raise self._failure(folder, error.strerror or type(error).__name__) from None

    def _read(self, file: Path, several: bool) -> HeldSecret | None:
        """Blocking."""
        name = printable(str(file) if several else file.name)
        try:
            with file.open("rb") as stream:
                changed = os.fstat(stream.fileno()).st_mtime
                if file.parent.name.endswith(".encrypted"):
                    return HeldSecret(name, None, rotated=changed, tags=("encrypted",))
                value = stream.read(_LARGEST + 1)
        except FileNotFoundError:
            return None  # removed since it was listed
        except OSError as error:
            raise self._failure(file, error.strerror or type(error).__name__) from None
        if len(value) > _LARGEST:
            raise self._failure(file, "larger than 1 MiB, which no credential is")
        # What people write by hand ends in a line break that is no part of the secret.
        return HeldSecret(name, value.removesuffix(b"\n"), rotated=changed)

    def _faults(self) -> list[str]:
        """Blocking."""
        wrong = []
        for folder in self.config.path:
            try:
                files = self._files(folder)
            except ServiceError as error:
                wrong.append(str(error))
                continue
            for file in files:
                try:
                    mode = file.stat().st_mode
                except OSError:
                    continue
                where = printable(str(file))
                if not os.access(file, os.R_OK):
                    wrong.append(f"{where} cannot be read: let the monitor's user read it")
                elif mode & stat.S_IROTH and not folder.name.endswith(".encrypted"):
                    wrong.append(f"{where} can be read by every user: chmod 600")
        return wrong

    def _failure(self, path: Path, problem: str) -> ServiceError:
        return ServiceError(f"inventory {self.config.name}: {printable(str(path))}: {problem}")
