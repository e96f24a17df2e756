from __future__ import annotations

import pytest

from monitor.audit.real import assigned, is_public, is_real, is_secret_name
from tests.monitor.audit.conftest import ONE


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "API_KEY", "SUPABASE_SERVICE_ROLE_KEY", "jwt_secret", "GITHUB_TOKEN", "STRIPE_SECRET_KEY",
     "PGPASSWORD", "SECRET_KEY_BASE64", "github.token", "SENTRY_DSN"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["TOKEN_TTL", "PASSWORD_FILE", "NEXT_PUBLIC_API_KEY", "SUPABASE_ANON_KEY", "AWS_ACCESS_KEY_ID", "PORT", "KEYBOARD",
     "STRIPE_PUBLISHABLE_KEY", "PUBLIC_KEY", "SECRET_NAME", "MONKEY"],
)  # fmt: skip
def test_names_of_others(name: str) -> None:
    assert not is_secret_name(name)


def test_real_values() -> None:
    for value in (ONE, "correct horse", f"postgres://app:{ONE}@db/app"):
        assert is_real(value), value
    for value in ("", "changeme", "<your-token>", "${TOKEN}", "xxxxxxxx", "/run/secrets/db", "true", "3600",
                  "vault:kv/db", "https://example.org/x", "env:TOKEN", "your_api_key_here"):  # fmt: skip
        assert not is_real(value), value
    assert is_real("postgres")
    assert not is_real("postgres", wordy=False)


def test_assigned_and_public() -> None:
    assert list(assigned([("A", ONE), ("B_TOKEN", ONE), ("C_TOKEN", "changeme")])) == ["B_TOKEN"]
    assert is_public("VITE_KEY")
