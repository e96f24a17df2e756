"""Kubernetes: the Secrets of a cluster or of some namespaces, and tokens of service accounts that lie in files."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode

import orjson
from pydantic import StringConstraints

from monitor.clients.client import AccessError
from monitor.common.credential import Credential
from monitor.common.fields import LocalPath, ServerUrl
from monitor.common.outside import instant
from monitor.common.text import printable
from monitor.inventory.held import HeldSecret
from monitor.inventory.managers.base import ApiManager, ManagerConfig, described, expiry, pages

__all__ = ["KubernetesConfig", "KubernetesManager"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PAGE = 100
_ADVICE = {401: "the token was refused: it may have expired", 410: "the list changed too much meanwhile"}
_SKIPPED = ("helm.sh/release.v1",)  # charts of hundreds of kilobytes, made of what the other Secrets hold
_PUBLIC = frozenset(("ca.crt", "tls.crt", "namespace", "service-ca.crt"))  # keys of what is no secret
_TOO_MUCH = ("create", "update", "patch", "delete")


EXAMPLE = """
#[[inventory]]
#name = "cluster"
#type = "kubernetes"            # Secrets; in a pod, server, token and ca_file need not be named
#server = "https://kubernetes.default.svc"
#namespaces = ["production"]    # default: [], the whole cluster
#selector = "team=payments"     # default: "". Of labels
#token = "file:/var/run/secrets/kubernetes.io/serviceaccount/token"
#ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
#token_files = ["/etc/agent/token"]  # default: []. Tokens of service accounts that lie in files
"""


class KubernetesConfig(ManagerConfig):
    """Reads [Secrets](https://kubernetes.io/docs/concepts/configuration/secret/) of Kubernetes, but certificates,
    namespaces and Helm's releases; and tokens of service accounts in files.

    - `server`, `token`, `ca_file` (those of the pod): how to ask the cluster
    - `namespaces` (the whole cluster): which
    - `selector`: of labels
    - `token_files`: tokens of service accounts that lie in files on this machine

    **Names** are `NAMESPACE/SECRET.KEY`. **Least permission**, in the namespaces that are meant:

        kind: ClusterRole
        apiVersion: rbac.authorization.k8s.io/v1
        metadata: {name: exposure-monitor}
        rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
    """

    type: Literal["kubernetes"]
    server: ServerUrl = "https://kubernetes.default.svc"
    namespaces: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")], ...] = ()
    selector: str = ""  # of labels
    token: Credential = Credential(f"file:{_ACCOUNT}/token")
    ca_file: LocalPath | None = None
    token_files: tuple[LocalPath, ...] = ()


class KubernetesManager(ApiManager[KubernetesConfig]):
    Config: ClassVar[type[ManagerConfig]] = KubernetesConfig
    advice = _ADVICE

    def __init__(self, config: KubernetesConfig) -> None:
        ca_file = config.ca_file or (_ACCOUNT / "ca.crt" if (_ACCOUNT / "ca.crt").exists() else None)
        super().__init__(config, ca_file=ca_file)

    async def held(self) -> AsyncIterator[HeldSecret]:
        for namespace in self.config.namespaces or ("",):
            async for secret in self._all(namespace):
                for held in self._held(secret):
                    yield held
        for path in self.config.token_files:
            yield await asyncio.to_thread(self._of_file, path)

    async def doctor(self) -> list[str]:
        wrong = []
        for namespace in self.config.namespaces or ("",):
            where = f"in {namespace}" if namespace else "in the cluster"
            if not await self._may(namespace, "list"):
                wrong.append(f"it may not list secrets {where}: bind a Role or ClusterRole with the verb list to it")
            more = [verb for verb in _TOO_MUCH if await self._may(namespace, verb)]
            if more:
                wrong.append(f"it may {', '.join(more)} secrets {where}, which the monitor never needs")
        return wrong

    async def _all(self, namespace: str) -> AsyncIterator[dict[str, Any]]:
        what = f"secrets of {namespace or 'all namespaces'}"
        path = f"api/v1/namespaces/{namespace}/secrets" if namespace else "api/v1/secrets"
        query = {"limit": str(_PAGE), **({"labelSelector": self.config.selector} if self.config.selector else {})}

        async def page(token: str | None) -> tuple[list[dict[str, Any]], object]:
            url = f"{self.config.server}/{path}?{urlencode(query | ({'continue': token} if token else {}))}"
            body = await self.client.json(what, "GET", url, self._headers())
            about = self.client.pick(what, body, "metadata", dict)
            return self.client.rows(what, body, "items"), about.get("continue")

        async for rows in pages(self.client, what, page):
            for row in rows:
                yield row

    def _held(self, secret: dict[str, Any]) -> Iterator[HeldSecret]:
        about = self.client.pick("secrets", secret, "metadata", dict)
        kind = str(secret.get("type") or "")
        if kind in _SKIPPED:
            return
        name = f"{about.get('namespace', '')}/{self.client.pick('secrets', about, 'name', str)}"
        changes = [instant(one.get("time")) for one in about.get("managedFields") or () if isinstance(one, dict)]
        labels = {**(about.get("labels") or {}), **({"type": kind} if kind else {})}
        created = instant(about.get("creationTimestamp"))
        for key, text in (secret.get("data") or {}).items():
            if key in _PUBLIC:
                continue
            try:
                value = base64.b64decode(text, validate=True)
            except (binascii.Error, TypeError, ValueError):
                raise self.client.error(name, "data that is no base64; what it holds is not known now") from None
            yield HeldSecret(
                f"{name}.{key}",
                value,
                created=created,
                rotated=max(filter(None, changes), default=created),
                expires=expiry(value.decode("ascii", "replace")) if key == "token" else None,
                **described(labels),
            )

    def _of_file(self, path: Path) -> HeldSecret:
        token = self.client.secret(Credential(f"file:{path}"), "token_files")
        changed = path.stat().st_mtime
        return HeldSecret(printable(str(path)), token.encode(), rotated=changed, expires=expiry(token), tags=("file",))

    async def _may(self, namespace: str, verb: str) -> bool:
        what = f"whether it may {verb} secrets"
        asked = {"namespace": namespace, "verb": verb, "resource": "secrets"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        url = f"{self.config.server}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        headers = {**self._headers(), "Content-Type": "application/json"}
        try:
            body = await self.client.json(what, "POST", url, headers, orjson.dumps(review))
        except AccessError:
            return False
        return self.client.pick(what, self.client.pick(what, body, "status", dict), "allowed", bool)

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.client.secret(self.config.token, 'token')}",
            "Accept": "application/json",
        }
