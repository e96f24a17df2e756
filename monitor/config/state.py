"""What the state folder holds unless the configuration names others: the key for fingerprints, and the database."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.common.problems import Problem
from monitor.config.locate import ConfigError

if TYPE_CHECKING:
    from monitor.common.credential import Credential
    from monitor.config.config import Config

__all__ = [
    "DATABASE_FILE",
    "KEY_FILE",
    "NoRoomError",
    "check_room",
    "database",
    "existing_key",
    "key",
    "key_in",
    "make_database",
    "make_folder",
]

KEY_FILE = "fingerprint.key"
DATABASE_FILE = "state.db"
KEY_MIN_LENGTH = 16  # bytes; a shorter key makes fingerprints guessable


class NoRoomError(ConfigError):
    """Nothing is wrong with the configuration: the disk is full or failing, and waiting may mend it."""


def database(config: Config) -> str | Path:
    """URL or path of the database, as `Store.open` takes it. The URL may hold a password. Raises ConfigError."""
    from monitor.common.credential import CredentialError

    if config.monitor.database is None:
        return config.state_dir / DATABASE_FILE
    try:
        return config.monitor.database.resolve()
    except CredentialError as error:
        raise ConfigError(config.path, [Problem("monitor.database", str(error))]) from None


def key(config: Config) -> bytes:
    """The key for fingerprints; made on first use when none is configured. Raises ConfigError, and NoRoomError where
    the disk is full."""
    if config.monitor.fingerprint_key is not None:
        return _configured(config, config.monitor.fingerprint_key)
    return key_in(config.state_dir, config.path)


def make_folder(config: Config) -> None:
    """The state folder (mode 0700), where the first start is to find one. Raises ConfigError, and NoRoomError where the
    disk is full."""
    try:
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(config.path, config.state_dir, error, "monitor.state_dir") from None


def key_in(folder: Path, source: Path | None = None) -> bytes:
    """`key` that is kept in the state folder (mode 0600). `source`: the configuration, for errors.

    Losing or changing it means that secrets known before look new, so an unreadable key is never replaced.
    """
    path = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written aside and linked into place: a crash half-way, or two first starts at once, leave one whole key.
        if not path.exists():
            fresh = path.with_name(f"{KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
            try:
                with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                    file.write(os.urandom(32).hex() + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                    _as_its_folder(file.fileno(), folder)
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, path)
            finally:
                fresh.unlink(missing_ok=True)
        return _long_enough(source, path.read_bytes().strip())
    except OSError as error:
        raise _unwritable(source, path, error, "monitor.state_dir or monitor.fingerprint_key") from None


def make_database(config: Config) -> None:
    """An empty file (mode 0600) in the state folder for a database that is not there yet, where it is a file. Raises
    ConfigError, and NoRoomError where the disk is full."""
    path = database(config)
    if not isinstance(path, Path) or path.exists():
        return
    make_folder(config)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _as_its_folder(descriptor, path.parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(config.path, path, error, "monitor.state_dir") from None


def _as_its_folder(descriptor: int, folder: Path) -> None:
    """Root may be at an installation before its service was: what it makes there the service has to open."""
    there, made = folder.stat(), os.fstat(descriptor)
    if os.geteuid() == 0 and (there.st_uid, there.st_gid) != (made.st_uid, made.st_gid):
        os.fchown(descriptor, there.st_uid, there.st_gid)


def _unwritable(source: Path | None, path: Path, error: OSError, keys: str) -> ConfigError:
    check_room(source, path, error)
    message = f"{error.filename or path}: {error.strerror}; make the folder writable for this user, or set {keys}"
    return ConfigError(source, [Problem("monitor.state_dir", message)])


def existing_key(config: Config) -> bytes | None:
    """The key that there is, which may be used; makes none. Raises ConfigError, and OSError where a file of it cannot
    be read."""
    path = config.state_dir / KEY_FILE
    if config.monitor.fingerprint_key is not None:
        return _configured(config, config.monitor.fingerprint_key)
    return _long_enough(config.path, path.read_bytes().strip()) if path.exists() else None


def _configured(config: Config, reference: Credential) -> bytes:
    from monitor.common.credential import CredentialError

    try:
        value = reference.resolve().encode()
    except CredentialError as error:
        raise ConfigError(config.path, [Problem("monitor.fingerprint_key", str(error))]) from None
    return _long_enough(config.path, value)


def check_room(source: Path | None, path: Path, error: OSError) -> None:
    """Raises NoRoomError when that is why `path` could not be made."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
        message = f"{path}: {error.strerror}; see whether its disk is full, failing or mounted read-only"
        raise NoRoomError(source, [Problem("monitor.state_dir", message)]) from None


def _long_enough(source: Path | None, value: bytes) -> bytes:
    if len(value) < KEY_MIN_LENGTH:
        message = f"shorter than {KEY_MIN_LENGTH} bytes; make one with: openssl rand -hex 32"
        raise ConfigError(source, [Problem("monitor.fingerprint_key", message)])
    return value
