"""The checklist: one line an item."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ITEMS", "Item"]


class Item(NamedTuple):
    """`check`: `file:function` of this room. `remedy`: what to do about a failure."""

    title: str
    check: str
    remedy: str


ITEMS: dict[str, Item] = {
    "secrets-in-environment": Item(
        "Secrets are in environment variables or a manager only",
        "code:secrets",
        "Move the value to a manager or an ignored .env, rotate it, and let units read it with LoadCredential=.",
    ),
    "gitignore": Item(
        ".gitignore covers .env, .env.local, .env.*.local, *.pem and *.key",
        "ignore:covered",
        "Add the patterns to .gitignore; `git rm --cached` what is tracked; rotate what the history holds.",
    ),
    "env-example": Item(
        ".env.example holds no real value",
        "dotenv:examples",
        "Put a placeholder such as `change-me` there, and rotate the value.",
    ),
    "environments-differ": Item(
        "Secrets differ by environment",
        "dotenv:environments",
        "Make a secret of its own for each environment.",
    ),
    "images": Item(
        "Nothing is baked into images",
        "images:baked",
        "Build it anew with `RUN --mount=type=secret`, hand the value over at run time, and rotate what was in there.",
    ),
}
