"""1Password's own program, `op`, asked on behalf of a service account: one process a question, and nothing kept of it.

The token is in the environment of that process alone, as `op` takes it from nowhere else; never in its arguments.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import orjson

from monitor.clients.client import LARGEST, AccessError, ProviderClient, ServiceError
from monitor.common.credential import Credential
from monitor.common.program import Ran, run, untrusted

__all__ = ["OpProgram"]

_SECONDS = 60.0  # that one question may take
_WRONG = 64 << 10  # bytes of what it says of an error
_WIDTH = 2  # processes at once: each takes tens of MB
_PATH = "/usr/local/bin:/usr/bin:/bin"
_ALSO = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
# It ends with us, however we end: a shell in its group waits for the end of a pipe that only we hold, removes its
# folder and kills the group. PR_SET_PDEATHSIG of Linux is no help: it is dropped for a set-group-ID program, which `op`
# is where 1Password's packages put it. Who started both takes both in: where we are process 1, nobody else would. The
# token comes by that pipe, too: the environment of a shell is open to more than that of a set-group-ID program.
_BOUND = """\
exec 3<&0 </dev/null
read -r token <&3
{ read -r line <&3; rm -rf -- "$0"; kill -9 0; } >/dev/null 2>&1 &
OP_SERVICE_ACCOUNT_TOKEN=$token "$@" 3<&-
code=$?
kill -9 $!
wait
exit $code
"""
# What it says on standard error is read, and never repeated: it quotes what it was asked for.
_MEANT = (
    (re.compile(r"(?i)rate.?limit|too many requests|\b429\b"),
     "1Password takes no more requests of this account now: raise `interval`, or name fewer vaults"),
    (re.compile(r"(?i)dial tcp|no such host|timeout|connection refused|unreachable"),
     "1Password cannot be reached: check the network, or HTTPS_PROXY"),
    (re.compile(r"(?i)\(403\)[^:]{0,40}firewall"),
     "1Password's firewall does not let this host in: permit its address, or where it is, in the rules of the account"),
    # Only what its server says, with the status, or what `op` says of that: a file or folder may be refused, too.
    (re.compile(r"(?i)\(40[34]\)|isn't an? (?:item|vault)\b"), ""),
    (re.compile(r"(?i)\b401\b|unauthorized|authenticat|token|credentials|signed in"),
     "the token was refused: it has expired, been revoked, or its service account was deleted"),
    (re.compile(r"(?i)unknown (?:flag|command)"), "this `op` is too old: install 2.30 or later"),
)  # fmt: skip


class OpProgram:
    """For one entry. `program`: where it lies; None: found in PATH."""

    def __init__(self, client: ProviderClient, token: Credential, program: Path | None) -> None:
        self._client, self._token, self._program = client, token, program
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._room = asyncio.Semaphore(_WIDTH)

    async def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    async def ask(self, what: str, *arguments: str) -> Any:
        """The JSON of its answer. Raises AccessError where the account may not see `what`, else ServiceError."""
        program, token = self._found(), self._given()
        async with self._room:
            ran = await self._run(what, token, program, *arguments, "--format", "json")
        if ran.code is None:
            raise self._client.error(what, f"`op` gave no answer within {_SECONDS:.0f} s")
        if ran.code:
            raise self._failure(what, ran.code, ran.wrong.decode("utf-8", "replace"))
        if ran.cut:
            raise self._client.error(what, f"what `op` printed is larger than {LARGEST >> 20} MiB")
        try:
            return orjson.loads(ran.said)
        except orjson.JSONDecodeError:
            failure = self._client.error(what, "what `op` printed is not JSON: is it 1Password's own program?")
        raise failure  # outside of the handler: the original holds the text

    async def _run(self, what: str, token: str, *command: str) -> Ran:
        environment = self._environment()
        ending, held = os.pipe()
        try:
            os.write(held, f"{token}\n".encode())  # far less than a pipe holds
            return await run(
                ("/bin/sh", "-c", _BOUND, environment["HOME"], *command),
                environment,
                seconds=_SECONDS,
                most=LARGEST,
                apart=_WRONG,
                stdin=ending,
            )
        except OSError as error:
            reason = (error.strerror or "refused").lower()
            raise self._client.error(what, f"`op` cannot be started: {reason}") from None
        finally:
            os.close(ending)
            os.close(held)  # when it has ended: others of these have the same folder

    def _failure(self, what: str, code: int, wrong: str) -> ServiceError:
        for pattern, meant in _MEANT:
            if pattern.search(wrong):
                if not meant:
                    return AccessError(str(self._client.error(what, "there is none, or the account may not read it")))
                return self._client.error(what, meant)
        return self._client.error(what, f"`op` ended with exit code {code}: run it by hand with this token to see why")

    def _found(self) -> str:
        program = self._program or shutil.which("op", path=os.environ.get("PATH", _PATH))
        if program is None:
            problem = "there is no `op` in PATH: install 1Password's CLI (2.30 or later), or name it in `program`"
            raise self._client.error("op", problem)
        if wrong := untrusted(str(program)):
            raise self._client.error("op", f"it is not run: {wrong}")
        return str(Path(program).absolute())

    def _given(self) -> str:
        token = self._client.secret(self._token, "token")
        if not re.fullmatch(r"ops_[!-~]{1,4000}", token):
            raise self._client.error("token", "it is none of a service account: those begin with ops_")
        return token

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: a Connect server or an account that is named there would go before the token."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="op-")  # mode 0700, as `op` wants it
        return {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "HOME": self._folder.name,
            "OP_CONFIG_DIR": self._folder.name,
            "OP_CACHE": "false",  # else a daemon of it goes on for a day
            "OP_BIOMETRIC_UNLOCK_ENABLED": "false",
            "OP_ISO_TIMESTAMPS": "true",
            **{name: os.environ[name] for name in _ALSO if name in os.environ},
        }
