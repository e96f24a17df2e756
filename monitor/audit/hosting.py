"""What GitHub says: the switches of each repository; and what tokens may do, as far as anybody says."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from typing import Any

import yaml

from monitor.audit.check import Evidence, Subject, attempted, failed, passed, unknown
from monitor.audit.formats import documents, items, lookup
from monitor.audit.tree import Tree
from monitor.audit.workflows import FILES
from monitor.common.credential import Credential, CredentialError
from monitor.common.http import RemoteError
from monitor.common.outside import at
from monitor.github.auth import AppAuth, AuthError
from monitor.github.doctor import repositories
from monitor.github.source import GitHubConfig
from monitor.scanning.redact import Redactor
from monitor.verify.probe import probe_of
from monitor.verify.verifier import Verifier

__all__ = ["least_privilege", "switches"]

_ASKED = {
    "secret_scanning": "secret scanning",
    "push_protection": "push protection",
    "validity_checks": "validity checks",
}
# What reading alerts, members, switches, environments and requests to reviewers needs, and no more.
_CLASSIC = frozenset({"security_events", "read:org", "read:user", "user:email"})
_APP = frozenset({
    "metadata", "secret_scanning_alerts", "members", "administration", "organization_hooks", "contents", "actions",
    "organization_administration",
})  # fmt: skip
_REVIEWS = "bypass_requests"  # in the name of the permission that reading those of an organisation needs
_BROAD = re.compile(
    r"(?i)(?:^|[\s,:;._/-])(?:\*|admin\w*|root|owner|superuser|full[_-]?access|write-all|delete_repo|all|everything)(?=$|[\s,:;._/-])"
)
_INCIDENTS = 1000


async def switches(subject: Subject) -> AsyncIterator[Evidence]:
    """Secret scanning, push protection and validity checks of every repository of the configured sources."""
    sources = list(_sources(subject))
    if not sources:
        yield unknown('no [[sources]] with type = "github" is configured', "monitor github doctor --repositories")
    for source in sources:
        client, asked = source.client(attempts=3), 0
        try:
            async for repository in repositories(source, client):
                if repository.archived:
                    continue
                asked += 1
                repeat = shlex.join(["gh", "api", f"repos/{repository.name}", "--jq", ".security_and_analysis"])
                off = [words for name, words in _ASKED.items() if repository.switches[name] == "off"]
                hidden = [words for name, words in _ASKED.items() if repository.switches[name] == "unknown"]
                if off:
                    yield failed(f"{repository.name}: {', '.join(off)} off", repeat)
                if hidden:
                    why = "GitHub shows it to administrators of the repository only"
                    yield unknown(f"{repository.name}: {', '.join(hidden)} unknown: {why}", repeat)
                if not off and not hidden:
                    yield passed(f"{repository.name}: {', '.join(_ASKED.values())} on", repeat)
            if not asked:
                yield unknown(f"source {source.name}: it shows no repository", "monitor github doctor --repositories")
        except (RemoteError, AuthError) as error:
            yield unknown(f"source {source.name}: {error}", "monitor github doctor --repositories")
        finally:
            await client.close()


async def least_privilege(subject: Subject) -> AsyncIterator[Evidence]:
    """The log-ins of our own sources, the tokens of workflows, and what issuers say of tokens that were asked about."""
    given = False
    for pieces in (_logins(subject), _workflows(subject), _issuers(subject), _asked(subject)):
        async for piece in pieces:
            given = True
            yield piece
    if not given:
        why = "no token whose rights anybody says: no GitHub source, no workflow, no issuer in verify.providers"
        yield unknown(why, "monitor github doctor")


def _sources(subject: Subject) -> Iterator[GitHubConfig]:
    yield from (source for source in subject.config.sources if isinstance(source, GitHubConfig))


async def _logins(subject: Subject) -> AsyncIterator[Evidence]:
    for source in _sources(subject):
        async for piece in _login(source):
            yield piece


async def _login(source: GitHubConfig) -> AsyncIterator[Evidence]:
    repeat = f"monitor github doctor --source {shlex.quote(source.name)}"
    client = source.client(attempts=3)
    try:
        if isinstance(client.auth, AppAuth):
            await client.auth.token()
            body = (await client.app("GET", f"/app/installations/{client.auth.installation_id}")).body
            held = at(body, "permissions")
            if not isinstance(held, dict):
                yield unknown(f"source {source.name}: GitHub does not say what its App may do", repeat)
                return
            writes = {"secret_scanning_alerts"} if source.write_back == "on" else set()
            more = [
                f"{name}={level}"
                for name, level in sorted(held.items())
                if (name not in _APP and _REVIEWS not in name) or (level != "read" and name not in writes)
            ]
            shown = ", ".join(f"{name}={level}" for name, level in sorted(held.items()))
        else:
            scopes = (await client.get("/user")).headers.get("x-oauth-scopes")
            if scopes is None:
                yield unknown(
                    f"source {source.name}: a fine-grained token, of which GitHub says no permissions", repeat
                )
                return
            names = sorted({scope.strip() for scope in scopes.split(",")} - {""})
            more, shown = [name for name in names if name not in _CLASSIC], ", ".join(names) or "none"
    except (RemoteError, AuthError) as error:
        yield unknown(f"source {source.name}: {error}", repeat)
        return
    finally:
        await client.close()
    wide = f"source {source.name}: its log-in may do more than it needs: {', '.join(more)}"
    yield failed(wide, repeat) if more else passed(f"source {source.name}: its log-in has {shown}", repeat)


async def _workflows(subject: Subject) -> AsyncIterator[Evidence]:
    for tree in subject.trees:
        for name in tree.named(FILES, tree.code):
            repeat = shlex.join(["grep", "-nA3", "permissions:", str(tree.base / name)])
            for piece in attempted(_permissions(tree, name, repeat), name, repeat, name):
                yield piece


def _permissions(tree: Tree, name: str, repeat: str) -> Iterator[Evidence]:
    """The token that GitHub makes for each run of a workflow. Raises UnreadError."""
    for document in documents(tree.text(name)):
        jobs = list(items(lookup(document, "jobs")))
        top = lookup(document, "permissions")
        if not jobs:
            continue  # an action: it has the token of whoever calls it
        own = [lookup(job, "permissions") for _, job in jobs]
        wide = [node for node in [top, *own] if isinstance(node, yaml.ScalarNode) and node.value == "write-all"]
        for node in wide:
            line = node.start_mark.line + 1
            yield failed(f"{name}:{line}: permissions: write-all", repeat, name, line)
        if not wide and top is None and not all(own):
            yield unknown(f"{name}: no `permissions:`, so the default of the repository holds", repeat, name)
        elif not wide:
            yield passed(f"{name}: its token is limited by `permissions:`", repeat, name)


async def _issuers(subject: Subject) -> AsyncIterator[Evidence]:
    """Each credential of the configuration whose issuer may be asked."""
    if not subject.config.verify.providers:
        return
    worker = subject.engine.worker()
    verifier = Verifier(subject.config.verify, redact=Redactor(worker))
    for where, credential in _credentials(subject):
        try:
            value = credential.resolve()
        except CredentialError:
            yield unknown(f"{where} ({credential.shown}): it could not be read", "monitor check")
            continue
        rules = {match.rule.id for match in worker.scan(value.encode("utf-8", "surrogateescape"))}
        for rule in sorted(rules):
            probe = probe_of(rule)
            if probe is None or not subject.config.verify.allows(probe.provider):
                continue
            answer = await verifier.ask(rule, value)
            repeat = f"monitor verify --rule {rule} --value-from -"
            scopes = answer.facts.get("scopes", "")
            if not scopes:
                yield unknown(f"{where} ({credential.shown}): {probe.provider} does not say what it may do", repeat)
            else:
                yield _judged(f"{where} ({credential.shown})", scopes, repeat)


def _credentials(subject: Subject) -> Iterator[tuple[str, Credential]]:
    """Of sources, sinks and actions, with the place in the configuration."""
    config = subject.config
    for table, entries in (("sources", config.sources), ("sinks", config.sinks), ("actions", config.actions)):
        for entry in entries:
            for name in type(entry).model_fields:
                value: Any = getattr(entry, name)
                if isinstance(value, Credential):
                    yield f"{table} {entry.name}: {name}", value


async def _asked(subject: Subject) -> AsyncIterator[Evidence]:
    """What was said of leaked tokens that still work."""
    if subject.store is None:
        return
    for one in await subject.store.incidents.find(order="recent", limit=_INCIDENTS):
        scopes = one.verified.facts.get("scopes", "") if one.verified is not None else ""
        if one.verified is not None and one.verified.validity == "valid" and scopes:
            yield _judged(f"{one.name} of incident {one.id}", scopes, f"monitor incidents show {one.id}")


def _judged(who: str, scopes: str, repeat: str) -> Evidence:
    broad = _BROAD.search(scopes)
    return failed(f"{who} may do everything: {scopes}", repeat) if broad else passed(f"{who} has {scopes}", repeat)
