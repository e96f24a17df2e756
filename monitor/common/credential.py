"""References to secrets. A value is read when it is used and kept nowhere."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from monitor.common.fields import anchored
from monitor.common.http import RemoteError
from monitor.common.text import printable, veiled

__all__ = ["AS_ROOT", "Credential", "CredentialError", "LongCredential"]


AS_ROOT = "run it as root (sudo), or as the user that the monitor runs as"


class CredentialError(RemoteError):
    """A credential reference that cannot be resolved. Names the reference, never a value.

    To be tried again: `monitor check` finds a wrong reference at the start, so later it is a rotation under way.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A reference to a secret: `env:NAME`, `file:PATH` or `credential:NAME` (systemd's $CREDENTIALS_DIRECTORY).

    Resolved on use, so that a rotated file is picked up; the value is never stored on the object.
    """

    reference: str
    SCHEMES: ClassVar[tuple[str, ...]] = ("env", "file", "credential")

    def __post_init__(self) -> None:
        scheme, _, name = self.reference.partition(":")
        # ValueErrors so that pydantic reports them under the key's path; the literal itself is never shown.
        if scheme not in self.SCHEMES or not name:
            raise ValueError("must be a reference (env:NAME, file:PATH or credential:NAME), not the value itself")
        if scheme == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("env: takes the name of an environment variable (letters, digits and _), not the value")
        if scheme == "credential" and ("/" in name or name in (".", "..") or not name.isprintable()):
            raise ValueError("credential: takes the name of a credential of systemd, without a folder, not the value")

    def __repr__(self) -> str:
        return f"Credential({self.shown!r})"

    @property
    def shown(self) -> str:
        """The reference for messages: a value that was taken for a name or a path is not shown whole."""
        return printable(veiled(self.reference))

    def resolve(self, key: str = "") -> str:
        """The value, without surrounding white space. Raises CredentialError, which names the configuration's `key`."""
        try:
            return self._value()
        except CredentialError as error:
            if not key:
                raise
            raise CredentialError(f"{key}: {error}") from None

    def _value(self) -> str:
        scheme, _, name = self.reference.partition(":")
        if scheme == "env":
            value = os.environ.get(name, "")
            if not value.strip():
                raise CredentialError(f"environment variable {veiled(name)} is not set")
            return value.strip()
        if scheme == "credential":
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise CredentialError(
                    f"{self.shown}: $CREDENTIALS_DIRECTORY is not set, and no folder credentials lies beside the "
                    f"configuration; run under systemd with LoadCredential={veiled(name)}:PATH, or use file:PATH"
                )
            path = Path(folder) / name
        else:
            path = Path(name)
        try:
            value = path.read_text(encoding="utf-8").strip()
        except PermissionError:
            raise CredentialError(f"{self.shown}: this user may not read it; {AS_ROOT}") from None
        except OSError as error:
            raise CredentialError(f"{self.shown}: {error.strerror or type(error).__name__}") from None
        except UnicodeDecodeError:
            raise CredentialError(f"{self.shown}: not UTF-8 text") from None
        if not value:
            raise CredentialError(f"{self.shown}: empty")
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def parse(value: object, info: core_schema.ValidationInfo) -> Credential:
            if not isinstance(value, str | cls):
                raise ValueError("must be a reference such as env:NAME, file:PATH or credential:NAME")
            given = cls(value) if isinstance(value, str) else value
            scheme, _, name = given.reference.partition(":")
            if scheme != "file":
                return given
            return cls(f"file:{anchored(name, info)}")

        written = core_schema.plain_serializer_function_ser_schema(lambda one: one.reference, when_used="json")
        return core_schema.with_info_plain_validator_function(parse, serialization=written)


class LongCredential(Credential):
    """One at which whoever reaches us may guess: what is short is refused."""

    __slots__ = ()
    LEAST: ClassVar[int] = 16

    def _value(self) -> str:
        value = super()._value()
        if len(value) < self.LEAST:
            raise CredentialError(
                f"{self.shown}: shorter than {self.LEAST} characters, and could be guessed; make one with: "
                "openssl rand -hex 32"
            )
        return value
