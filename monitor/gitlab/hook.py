"""What GitLab's webhooks say of jobs, for the door `/hooks/gitlab` (monitor.web.hooks).

Nothing of a payload is stored but which job of which project it is about: its present state is read over the API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from monitor.common.credential import Credential
from monitor.common.inbound import Announced, HookDelivery, Owner, UnusableError, same
from monitor.common.outside import number, text
from monitor.gitlab.jobs import ENDED
from monitor.gitlab.source import GitLabConfig

__all__ = ["GitLabHook"]


class GitLabHook:
    """A Vendor. GitLab signs nothing: it sends the secret itself, so its URL has to be https."""

    most = 25 << 20
    header = "X-Gitlab-Token"
    probes = 0

    def probe(self, body: bytearray) -> bool:
        return False

    def secrets(self, owner: Owner) -> Sequence[Credential]:
        return (owner.webhook_secret,) if isinstance(owner, GitLabConfig) and owner.webhook_secret else ()

    def well_formed(self, headers: Mapping[str, str], now: float) -> bool:
        return 0 < len(headers.get(self.header, "")) <= 1024

    def signed(self, secret: bytes, headers: Mapping[str, str], body: bytes | bytearray) -> bool:
        return same(headers.get(self.header, ""), secret.decode("utf-8", "surrogateescape"))

    def parse(self, headers: Mapping[str, str], body: bytearray, signed: Sequence[Owner]) -> Announced:
        try:
            payload = orjson.loads(body)
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            raise UnusableError(signed[0], "hook payload")
        if payload.get("object_kind") != "build":
            return Announced(answer="not an event we use\n", status=202)
        project, job = number(payload, "project_id"), number(payload, "build_id")
        if not project or not job:
            raise UnusableError(signed[0], "hook payload")
        if payload.get("build_status") not in ENDED:
            return Announced(answer="it has not ended\n", status=202)
        source = _chosen(signed, payload)
        # It ends once, so a repeat of the hook says nothing new.
        known = hashlib.sha256(f"{source.name} {project} {job}".encode()).hexdigest()[:40]
        delivery = HookDelivery(f"hook:{known}", source.name, "build", str(project), job)
        return Announced(delivery, answer="accepted\n", status=202)


def _chosen(signed: Sequence[Owner], payload: Mapping[str, object]) -> Owner:
    """Where several sources share a secret: the one that follows the project."""
    path = text(payload, "project", "path_with_namespace")
    return next((one for one in signed if isinstance(one, GitLabConfig) and one.follows(path)), signed[0])
