"""The checklist: one line an item."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ITEMS", "AuditItem"]


class AuditItem(NamedTuple):
    """`check`: `file:function` of this room. `remedy`: what to do about a failure."""

    title: str
    check: str
    remedy: str


ITEMS: dict[str, AuditItem] = {
    "secrets-in-environment": AuditItem(
        "Secrets are in environment variables or a manager only",
        "code:secrets",
        "Move the value to a manager or an ignored .env, rotate it, and let units read it with LoadCredential=.",
    ),
    "gitignore": AuditItem(
        ".gitignore covers .env, .env.local, .env.*.local, *.pem and *.key",
        "ignore:covered",
        "Add the patterns to .gitignore; `git rm --cached` what is tracked; rotate what the history holds.",
    ),
    "env-example": AuditItem(
        ".env.example holds no real value",
        "dotenv:examples",
        "Put a placeholder such as `change-me` there, and rotate the value.",
    ),
    "service-role": AuditItem(
        "The service-role key is used by the gateway only",
        "holders:service_role",
        "Let others ask the gateway; give the key to nobody else, or name who may have it in audit.gateway.",
    ),
    "jwt-secret": AuditItem(
        "The JWT secret is nowhere but in the gateway",
        "holders:jwt_secret",
        "Let others verify tokens with a public key or ask the gateway, and rotate the secret where it was elsewhere.",
    ),
    "rotation": AuditItem(
        "A rotation schedule is documented and kept",
        "papers:kept",
        "Write down how often each class of secret is rotated, and rotate what is overdue.",
    ),
    "github-scanning": AuditItem(
        "Secret scanning, push protection and validity checks are on at GitHub",
        "hosting:switches",
        "Switch them on in the organisation's code security settings.",
    ),
    "emergency": AuditItem(
        "The emergency procedure is documented, and the last drill passed",
        "records:emergency",
        "Write down who revokes what and whom to tell, and hold a drill: `monitor drill`.",
    ),
    "environments-differ": AuditItem(
        "Secrets differ by environment",
        "dotenv:environments",
        "Make a secret of its own for each environment.",
    ),
    "access-trail": AuditItem(
        "An audit trail of accesses to secrets exists",
        "records:trail",
        "Switch on the manager's audit log and let the monitor read it.",
    ),
    "workflows": AuditItem(
        "Workflows never echo a secret",
        "workflows:quiet",
        "Take the echo out, hand secrets over by standard input, and rotate what a log has shown.",
    ),
    "push-hooks": AuditItem(
        "Secrets are looked for before every push",
        "gates:hooks",
        "Run `monitor hooks install` in each clone, or add a scanner to the hooks that the repository has.",
    ),
    "history": AuditItem(
        "The history of each repository is searched for secrets",
        "gates:history",
        "Revoke what an incident is about, and resolve it: `monitor scan --git --since-last --report` records them.",
    ),
    "secrets-set": AuditItem(
        "Every secret is set in production before a deploy, with a value of its own",
        "gates:complete",
        "Set it at its manager; let `monitor inventory check` run before each deploy.",
    ),
    "secrets-at-rest": AuditItem(
        "No .env on a production host holds a secret in plain text",
        "at_rest:plain",
        "Hand it over with LoadCredentialEncrypted= or a manager at run time, or encrypt the file (sops, dotenvx); "
        "rotate what others could read.",
    ),
    "deploy-guards": AuditItem(
        "Deploys to production are approved, from chosen branches, and tokens of workflows only read by default",
        "deploys:guards",
        "Set required reviewers without self-review, branches, and no bypass for administrators in the environment's "
        "settings at GitHub, and read-only default permissions in Settings, Actions, General.",
    ),
    "images": AuditItem(
        "Nothing is baked into images",
        "images:baked",
        "Build it anew with `RUN --mount=type=secret`, hand the value over at run time, and rotate what was in there.",
    ),
    "logs": AuditItem(
        "No log holds a secret",
        "records:logs",
        "Rotate the secret, and let the service log without it.",
    ),
    "least-privilege": AuditItem(
        "Tokens have the least privileges that they need",
        "hosting:least_privilege",
        "Make a token with the scopes that are used, and revoke the wide one.",
    ),
}
