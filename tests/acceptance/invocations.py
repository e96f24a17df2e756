"""Every command there is, and how it is called so that it meets secrets wherever it can."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import typer

from monitor.cli import COMMANDS, app
from tests.acceptance.canary import Canary
from tests.acceptance.receivers import sinks

# Prints synthetic secrets, which is what it is for.
LEFT_OUT = {"sample"}


def leaves() -> Iterator[tuple[str, ...]]:
    """Every command there is, groups opened."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if not inner:
            yield path
        for name, child in (inner or {}).items():
            yield from below(child, (*path, name))

    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    for name in COMMANDS:
        yield from below(group.get_command(context, name), (name,))


Invocation = tuple[list[str], bytes]  # arguments, standard input


def invocations(canaries: list[Canary], incident: Callable[[], str]) -> dict[tuple[str, ...], list[Invocation]]:
    """How each command is called, so that it meets canaries wherever it can."""
    logs = "\n".join(canary.text for canary in canaries).encode()
    values = b"\n".join(value for canary in canaries for value in canary.secrets if b"\n" not in value)
    token = next(canary for canary in canaries if canary.rule == "github-pat")
    pat, value = token.text, next(iter(token.secrets)).decode()
    pattern = r"(?P<secret>\b[A-Za-z0-9_]{20,}\b)"
    machine = itertools.cycle(("json", "jsonl"))  # the same rows, by the same function

    def each(*arguments: str, stdin: bytes = b"") -> list[Invocation]:
        return [([*arguments, "--format", form], stdin) for form in ("text", next(machine))]

    return {
        ("run",): [(["run", "--once"], logs)],
        ("check",): [*each("check"), (["check", "--environment"], b"")],
        ("scan",): [
            *((["scan", "logs", "--format", form], b"") for form in ("text", "json", "jsonl", "sarif")),
            (["scan", "-"], logs),
            (["scan", "/dev/stdin"], logs),
            *((["scan", "--git", "-C", "history", "--format", form], b"") for form in ("text", "json", "sarif")),
            (["scan", "--staged", "-C", "history"], b""),
            (["scan", "--git", "-C", "history", token.text], b""),
        ],
        ("hooks", "install"): [(["hooks", "install", "-C", "history"], b"")],
        ("hooks", "status"): each("hooks", "status", "-C", "history"),
        ("hooks", "uninstall"): [(["hooks", "uninstall", "-C", "history"], b"")],
        ("hooks", "run"): [(["hooks", "run", "pre-push", "--", pat], logs), (["hooks", "run", "pre-commit"], b"")],
        ("audit",): [(["audit", "logs", "--format", form], b"") for form in ("text", "json", "sarif", "markdown")],
        ("test-pattern",): [
            *each("test-pattern", pattern, "logs/app.log", "--no-cost"),
            *each("test-pattern", "--rule", "github-pat", "logs/app.log", "--no-cost"),
            (["test-pattern", "--rule", "generic-password", "-", "--no-cost"], logs),
            (["test-pattern", pattern, "-", "--emit", "toml", "--no-cost"], logs),
            (["test-pattern", pattern, "--text", pat, "--no-cost"], b""),
            (["test-pattern", "--rule", "jwt", "--entropy", "7.9", "-", "--no-cost", "--reveal"], logs),
        ],
        ("rules", "list"): each("rules", "list"),
        ("rules", "show"): each("rules", "show", "github-pat"),
        ("rules", "diff"): [
            *each("rules", "diff", "--since", "2026-11-27"),
            (["rules", "diff", "--since", value], b""),
        ],
        ("rules", "test"): [(["rules", "test", "github-pat", "jwt"], b"")],
        ("rules", "bench"): each("rules", "bench", "github-pat", "jwt", "--sample", "logs/app.log"),
        # Logs are no rules; what is said of them must not quote them.
        ("rules", "import", "gitleaks"): [(["rules", "import", "gitleaks", "logs/app.log"], b"")],
        ("rules", "import", "kingfisher"): [(["rules", "import", "kingfisher", "logs/rules.yml"], b"")],
        ("rules", "new"): [(["rules", "new", "acme", "api-key"], b"")],
        ("fingerprint",): [(["fingerprint"], values)],
        ("incidents", "list"): [
            *each("incidents", "list", "--limit", "1000"),
            (["incidents", "list", "--search", "github"], b""),
        ],
        ("incidents", "show"): [*each("incidents", "show", incident()), (["incidents", "show", "f" * 64], b"")],
        ("incidents", "ack"): [
            (["incidents", "ack", incident(), "--note", "looked at"], b""),
            (["incidents", "ack", "--match", 'severity="critical"'], b""),  # names what it would touch
            (["incidents", "ack", "--match", f"path={pat}", "--yes"], b""),
        ],
        ("incidents", "assign"): [
            (["incidents", "assign", incident(), "bob", "--note", f"it was {value}"], b""),
            (["incidents", "assign", incident(), pat], b""),
        ],
        ("incidents", "resolve"): [(["incidents", "resolve", incident(), "--as", "revoked"], b"")],
        ("incidents", "reopen"): [(["incidents", "reopen", incident()], b"")],
        ("incidents", "silence"): [(["incidents", "silence", incident(), "--for", "0s", "-m", pat], b"")],
        ("access", "list"): each("access", "list"),
        ("access", "check"): each("access", "check"),
        ("access", "habits"): each("access", "habits"),
        ("access", "used"): each("access", "used", incident()),
        ("rotation", "due"): each("rotation", "due"),
        ("rotation", "plan"): each("rotation", "plan"),
        ("rotation", "start"): [(["rotation", "start", pat], b"")],
        ("rotation", "done"): [(["rotation", "done", pat], b"")],
        ("rotation", "departed"): [(["rotation", "departed", pat], b"")],
        ("silences", "add"): [
            (["silences", "add", "source=nobody", "--for", "1h", "-m", f"it was {value}"], b""),
            (["silences", "add", f"path={pat}", "--for", "1h", "-m", "x"], b""),
        ],
        ("silences", "list"): each("silences", "list"),
        ("silences", "end"): [(["silences", "end", "ffff"], b"")],
        ("suppressions", "add"): [(["suppressions", "add", "f" * 64, "--for", "1h", "-m", f"it was {value}"], b"")],
        ("suppressions", "list"): each("suppressions", "list"),
        ("suppressions", "export"): [(["suppressions", "export"], b"")],
        ("suppressions", "import"): [(["suppressions", "import", "-"], logs)],
        ("suppressions", "remove"): [(["suppressions", "remove", "ffff"], b"")],
        ("incidents", "merge"): [(["incidents", "merge", incident(), incident(), "-m", pat], b"")],
        ("incidents", "timeline"): each("incidents", "timeline", incident()),
        ("incidents", "report"): [
            (["incidents", "report", incident(), "--as", form], b"") for form in ("markdown", "html", "svg", "json")
        ],
        ("incidents", "verify"): each("incidents", "verify"),
        ("runbook", "list"): [*each("runbook", "list"), *each("runbook", "list", "--books")],
        ("runbook", "start"): [(["runbook", "start", incident()], b"")],
        ("runbook", "show"): [*each("runbook", "show", incident()), *each("runbook", "show", "aws-key")],
        ("runbook", "claim"): [(["runbook", "claim", incident(), "revoke"], b"")],
        ("runbook", "done"): [(["runbook", "done", incident(), "revoke", "--note", f"it was {value}"], b"")],
        ("runbook", "skip"): [(["runbook", "skip", incident(), "notify", "--note", f"of {pat}"], b"")],
        ("runbook", "fail"): [(["runbook", "fail", incident(), "replace", "--note", pat], b"")],
        ("runbook", "reopen"): [(["runbook", "reopen", incident(), "revoke"], b"")],
        ("runbook", "run"): each("runbook", "run", incident(), "revoke"),
        ("runbook", "lint"): each("runbook", "lint", "logs/app.log"),
        ("verify",): [
            *each("verify", "--value-from", "-", "--rule", "github-pat", stdin=pat.encode()),
            *each("verify", "list"),
            *each("verify", incident(), "--replacement", "--value-from", "-", stdin=pat.encode()),
        ],
        ("action", "list"): each("action", "list"),
        ("action", "show"): each("action", "show", "f" * 12),
        ("action", "plan"): [*each("action", "plan", incident()), (["action", "plan", incident(), "none"], b"")],
        ("action", "approve"): [(["action", "approve", "f" * 12], b"")],
        ("action", "run"): [(["action", "run", "f" * 12, "--value-from", "-"], pat.encode())],
        ("inventory", "sync"): [(["inventory", "sync", "--format", "json"], b"")],
        ("inventory", "list"): [(["inventory", "list", "--format", "json"], b""), (["inventory", "list"], b"")],
        ("inventory", "show"): [(["inventory", "show", "env/KEY_0"], b"")],
        ("inventory", "doctor"): [(["inventory", "doctor"], b"")],
        ("inventory", "check"): each(
            "inventory", "check", "--names", "-", "--environment", "production", stdin=b"KEY_0\n" + pat.encode()
        ),
        ("inventory", "forget"): [(["inventory", "forget", "env/KEY_1"], b"")],
        ("drill",): each("drill", "nobody"),
        ("outbox", "list"): each("outbox", "list", "--state", "all"),
        ("outbox", "show"): each("outbox", "show", "f" * 32),
        ("outbox", "retry"): [(["outbox", "retry", "--sink", "console-json"], b"")],
        ("outbox", "discard"): [(["outbox", "discard", "f" * 32], b"")],
        ("init",): [(["init", "made.toml"], b""), (["init", "--install", "--root", pat], b"")],
        ("mask",): [(["mask"], logs), (["mask", "--report"], logs)],
        ("users", "add"): [
            (["users", "add", "ana", "--role", "responder"], value.encode()),
            (["users", "add", value], value.encode()),
            (["users", "add", "bob"], b"short"),
        ],
        ("users", "password"): [
            (["users", "password", "ana"], f"{value}-{value}".encode()),
            (["users", "password", value], value.encode()),
        ],
        ("users", "role"): [(["users", "role", "ana", "admin"], b""), (["users", "role", value, "admin"], b"")],
        ("users", "disable"): [(["users", "disable", "ana"], b"")],
        ("users", "enable"): [(["users", "enable", "ana"], b""), (["users", "enable", value], b"")],
        ("users", "sign-out"): [(["users", "sign-out", "ana"], b""), (["users", "sign-out", value], b"")],
        ("users", "token", "add"): [
            (["users", "token", "add", "deploy", "--role", "responder", "--scope", "act"], b""),
            (["users", "token", "add", value], b""),
            (["users", "token", "add", "other", "--for", value], b""),
        ],
        ("users", "token", "list"): each("users", "token", "list"),
        ("users", "token", "revoke"): [(["users", "token", "revoke", name], b"") for name in ("deploy", value)],
        ("users", "list"): [*each("users", "list"), *each("users", "list", "--history")],
        ("routes", "show"): each("routes", "show"),
        ("routes", "test"): each("routes", "test", "--incident", incident()),
        ("sources",): [*each("sources"), *each("sources", "--losses")],
        ("top",): each("top", "--once"),
        ("sinks", "list"): each("sinks", "list"),
        ("sinks", "test"): [(["sinks", "test", name], b"") for name in sinks()],
        ("github", "doctor"): each("github", "doctor", "--repositories"),
        ("github", "alerts"): each("github", "alerts"),
        ("github", "requests"): each("github", "requests"),
        ("github", "backfill"): [(["github", "backfill"], b"")],
        ("github", "write-back"): each("github", "write-back"),
    }  # fmt: skip
