"""AWS Secrets Manager: every secret of a region, as it is now and as it was before its last rotation."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Literal

from monitor.clients.aws import Amazon, AwsAccess, AwsLogin, NotThereError
from monitor.clients.client import AccessError, NoEffectError, ServiceError, together
from monitor.common.outside import instant
from monitor.inventory.held import HeldSecret, OvertakenError, Standing
from monitor.inventory.managers.base import ManagerConfig, described, pages

__all__ = ["AwsConfig", "AwsManager"]

_PAGE = 100
_NOBODYS = "exposure-monitor/doctor/there-is-no-such-secret"


EXAMPLE = """
#[[inventory]]
#name = "aws"
#type = "aws"                   # Secrets Manager: what is current, and what was before
#region = "eu-central-1"
#prefix = "production/"         # default: "", every name
#access_key_id = "env:AWS_ACCESS_KEY_ID"          # default: the role of the pod, the container or the machine
#secret_access_key = "env:AWS_SECRET_ACCESS_KEY"
#session_token = "env:AWS_SESSION_TOKEN"
#role_arn = "arn:aws:iam::123456789012:role/exposure-monitor"  # default: "". Taken on with that key, in another account
#rotate = { role_arn = "arn:aws:iam::123456789012:role/rotates" }  # who may start rotation functions
#server = "https://secretsmanager.eu-central-1.amazonaws.com"  # default: the region's
"""


class AwsConfig(AwsAccess, ManagerConfig):
    """Reads AWS
    [Secrets Manager](https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access.html): AWSCURRENT,
    AWSPREVIOUS and versions with other labels; not AWSPENDING.

    - `prefix`: what the names of the secrets begin with
    - `rotate`: a table with the keys of the login, `{}` for the role of the machine: who may start rotation functions

    **Names** are the secrets'. **Least permission**, with `kms:Decrypt` on your own keys beside it:

        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
          "secretsmanager:ListSecrets", "secretsmanager:GetSecretValue"]}]}
    """

    type: Literal["aws"]
    prefix: str = ""
    rotate: AwsLogin | None = None


class AwsManager:
    Config: ClassVar[type[ManagerConfig]] = AwsConfig

    def __init__(self, config: AwsConfig) -> None:
        self.config = config
        self.amazon = Amazon(config, config.whose, "secretsmanager", "secretsmanager")
        self.client = self.amazon.client

    async def held(self) -> AsyncIterator[HeldSecret]:
        async for secrets in pages(self.client, "ListSecrets", self._page):
            wanted = [version for secret in secrets for version in _versions(secret)]
            async for held in together(wanted, self._read):
                if held is not None:
                    yield held

    async def doctor(self) -> list[str]:
        try:
            secrets, _ = await self._page(None, 1)
        except AccessError as error:
            return [f"{error}: allow secretsmanager:ListSecrets"]
        arns = [self.client.pick("ListSecrets", secret, "ARN", str) for secret in secrets]
        wrong = [
            f"{why}: allow secretsmanager:GetSecretValue, and kms:Decrypt for a key of your own"
            for arn in arns
            if (why := await self.amazon.denied("GetSecretValue", {"SecretId": arn}))
        ]
        # Of a secret that there is not: who may do it is told so, and nothing is written.
        if not await self.amazon.denied("PutSecretValue", {"SecretId": _NOBODYS, "SecretString": "-"}):
            wrong.append("it may write secrets (secretsmanager:PutSecretValue), which the monitor never needs")
        return wrong

    async def rotate(self, name: str, version: str, tries: int) -> str:
        """Start its rotation function. The request is named after the version that is to go, the others that there are
        and the try: where two hosts, or two members of the secret, ask at once, one rotation comes of it."""
        what = f"RotateSecret {name}"
        try:
            about = await self._about(name, version)
            arn = self.client.pick("DescribeSecret", about, "ARN", str)
        except ServiceError as error:
            raise NoEffectError(str(error)) from None
        stages: dict[str, list[str]] = about["VersionIdsToStages"]
        if "AWSCURRENT" not in stages[version]:
            raise OvertakenError(str(self.client.error(what, "it has a new version already, and nothing was sent")))
        pending = [number for number, labels in stages.items() if "AWSPENDING" in labels and "AWSCURRENT" not in labels]
        if pending:
            return (
                f"version {pending[0][:8]} is pending there already, and nothing was sent; where its rotation function "
                "has failed, mend it, and take the label AWSPENDING from that version"
            )
        if not about.get("RotationEnabled"):
            problem = "rotation is not turned on for it: give it a rotation function at AWS first"
            raise NoEffectError(str(self.client.error(what, problem)))
        token = hashlib.sha256(" ".join((arn, version, str(tries), *sorted(stages))).encode()).hexdigest()[:32]
        await self.amazon.act("RotateSecret", {"SecretId": arn, "ClientRequestToken": token})
        return f"its rotation function makes version {token[:8]}"

    async def fit(self) -> list[str]:
        # Of a secret that there is not: who may do it is told so, and nothing is rotated.
        lacking = [
            f"{why}: allow secretsmanager:{operation}"
            for operation in ("DescribeSecret", "RotateSecret")
            if (why := await self.amazon.denied(operation, {"SecretId": _NOBODYS}))
        ]
        beyond: dict[str, dict[str, str]] = {"GetSecretValue": {}, "PutSecretValue": {"SecretString": "-"}}
        return lacking + [
            f"it may call secretsmanager:{operation}, which it never needs"
            for operation, given in beyond.items()
            if not await self.amazon.denied(operation, {"SecretId": _NOBODYS, **given})
        ]

    async def close(self) -> None:
        await self.amazon.close()

    async def _about(self, name: str, version: str) -> dict[str, Any]:
        """The secret that `name` is, or is a member of: the one that has this version. Names may have dots, too, and
        what is called so by now may be another secret. Raises ServiceError."""
        denied = other = None
        while name:
            try:
                about = await self.amazon.call("DescribeSecret", {"SecretId": name})
            except NotThereError:
                pass
            except AccessError as error:  # of this name: what it is a member of may be permitted
                denied = denied or error
            else:
                stages = about.get("VersionIdsToStages")
                if isinstance(stages, dict) and version in stages:
                    return about
                problem = "it has no version that the inventory knows: `monitor inventory sync` reads it again"
                other = other or self.client.error(f"DescribeSecret {name}", problem)
            name = name.rpartition(".")[0]
        raise denied or other or self.client.error("DescribeSecret", "NotFound: it is gone since it was read")

    async def _page(self, token: str | None, size: int = _PAGE) -> tuple[list[dict[str, Any]], object]:
        given: dict[str, Any] = {"MaxResults": size}
        if self.config.prefix:
            given["Filters"] = [{"Key": "name", "Values": [self.config.prefix]}]
        return await self.amazon.page("ListSecrets", "SecretList", given, token)

    async def _read(self, version: tuple[dict[str, Any], str, Standing]) -> HeldSecret | None:
        secret, number, standing = version
        name = self.client.pick("ListSecrets", secret, "Name", str)
        given = {"SecretId": self.client.pick("ListSecrets", secret, "ARN", str), "VersionId": number}
        made = None
        try:
            answer = await self.amazon.call("GetSecretValue", given)
        except AccessError:
            value = None
        except NotThereError:
            return None  # removed since it was listed
        else:
            value, made = self._value(name, answer), instant(answer.get("CreatedDate"))
        turned = instant(secret.get("LastRotatedDate")) if standing == "current" else None
        tags = secret.get("Tags") or ()
        return HeldSecret(
            name,
            value,
            version=number,
            standing=standing,
            created=instant(secret.get("CreatedDate")),
            rotated=max(filter(None, (turned, made)), default=None),
            **described({tag["Key"]: tag.get("Value", "") for tag in tags if isinstance(tag, dict) and "Key" in tag}),
        )

    def _value(self, name: str, answer: dict[str, Any]) -> bytes:
        if isinstance(text := answer.get("SecretString"), str):
            return text.encode()
        binary = self.client.pick(f"GetSecretValue {name}", answer, "SecretBinary", str)
        try:
            return base64.b64decode(binary, validate=True)
        except binascii.Error:
            raise self.client.error(f"GetSecretValue {name}", "SecretBinary is no base64") from None


def _versions(secret: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Standing]]:
    """Those that a label keeps; one that is only pending is not in use yet."""
    for number, stages in (secret.get("SecretVersionsToStages") or {}).items():
        if "AWSCURRENT" in stages:
            yield secret, number, "current"
        elif "AWSPREVIOUS" in stages:
            yield secret, number, "previous"
        elif stages and "AWSPENDING" not in stages:
            yield secret, number, "retired"
