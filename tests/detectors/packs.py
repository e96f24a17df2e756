"""A pack file to start from."""

from __future__ import annotations

from pathlib import Path

GOOD = """
[[rule]]
id = "acme-key"
name = "Acme key"
pattern = '''\\b(?P<secret>acme_[a-z0-9]{12})\\b'''
severity = "high"
examples = ["k=acme_{lownum:12}"]
negative_examples = ["acme_{lownum:3}"]
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
