"""TLS of sources that others connect to: our certificate, and a CA for theirs if they must show one."""

from __future__ import annotations

import asyncio
import os
import ssl
from hashlib import blake2b
from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator

from monitor.common.credential import Credential, CredentialError
from monitor.common.fields import LocalPath
from monitor.intake.protocol import Intake
from monitor.sources.base import LogConfig
from monitor.sources.peers import networks

__all__ = ["TlsConfig", "TlsError", "TlsIdentity"]

_RENEW = 5.0  # seconds


class TlsError(Exception):
    """The certificate cannot be used. Names the key, shows no content."""


class TlsConfig(LogConfig):
    """A source that is connected to.

    - `certificate`, `private_key`: for TLS: a PEM file with the certificates between, and a credential reference.
      Renewed ones are taken within seconds, as is a renewed `client_ca`; who is connected stays so
    - `client_ca`: PEM file; whoever connects must show a certificate of it
    - `allow` (whoever can reach it): addresses and networks that may send
    """

    certificate: LocalPath | None = None  # PEM, with those between it and the root
    private_key: Credential | None = None
    client_ca: LocalPath | None = None
    allow: tuple[str, ...] = ()

    @field_validator("allow")
    @classmethod
    def _allow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key need each other")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca needs certificate and private_key")
        return self


class TlsIdentity:
    """What we show to who connects, and what they must show. Renewed files are taken by `renew`, without a new
    listener, as each connection asks for `context`. That is another then, so that no session of before is resumed."""

    def __init__(self, config: TlsConfig) -> None:
        """Blocking. Raises TlsError."""
        self._config = config
        self._seen = self._files()
        self.context = self._load()

    async def keep(self, intake: Intake) -> None:
        """Look for another certificate every few seconds, for ever, and tell of one that cannot be used."""
        while True:
            await asyncio.sleep(_RENEW)
            try:
                await asyncio.to_thread(self.renew)
                intake.degraded("certificate", None)
            except TlsError as error:
                intake.degraded("certificate", str(error))

    def renew(self) -> None:
        """Take the certificate, the key and the CA that lie there now, if one is another. Blocking. Raises TlsError;
        then those of before stay."""
        seen = self._files()
        if seen != self._seen:
            self.context = self._load()
            self._seen = seen

    def _files(self) -> tuple[object, ...]:
        """What tells whether one of them has changed."""
        config = self._config
        assert config.private_key is not None
        try:
            key: object = blake2b(config.private_key.resolve("private_key").encode()).digest()
        except CredentialError:
            key = None
        return _signature(config.certificate), key, _signature(config.client_ca)

    def _load(self) -> ssl.SSLContext:
        config = self._config
        assert config.certificate is not None
        assert config.private_key is not None
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"client_ca: {config.client_ca}: {_why(error)}") from None
        if config.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
        try:
            key = config.private_key.resolve("private_key")
        except CredentialError as error:
            raise TlsError(str(error)) from None

        # OpenSSL reads keys from files only; this one is in memory, and nobody else's.
        descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, key.encode() + b"\n")
            context.load_cert_chain(config.certificate, f"/proc/self/fd/{descriptor}", password="")
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"certificate: {config.certificate} with its private_key: {_why(error)}") from None
        finally:
            os.close(descriptor)
        return context


def _signature(path: Path | None) -> tuple[int, ...]:
    try:
        info = path.stat() if path else None
    except OSError:
        return ()
    return (info.st_ino, info.st_mtime_ns, info.st_size) if info else ()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or type(error).__name__
