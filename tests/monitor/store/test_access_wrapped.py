"""What is got by a wrapping token is a reading of the secret behind it."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.access.judge import Rules
from monitor.access.policy import AccessConfig
from monitor.access.reading import BEARER, Reading
from monitor.domain.model import Position
from monitor.store import Store

T = 20_000 * 86_400.0
RULES = Rules(
    (
        AccessConfig(name="app", principals=("approle:ci",), secrets=("KEY",)),
        AccessConfig(name="web", principals=("*-web",), secrets=("secret/x",), never=True),
    )
)
WRAPPED = Reading("1", T, "secret/x", "approle:ci", wraps="h1")
UNWRAP = "sys/wrapping/unwrap"


async def uses(store: Store, *batches: Sequence[Reading]) -> list[tuple[str, str, int]]:
    for number, readings in enumerate(batches):
        await store.commit((), [Position("v", "f", {"at": number})], readings=readings, source="vault")
    return sorted((one.secret, one.principal, one.times) for one in await store.access.uses())


async def test_who_unwraps_read_the_secret_also_when_it_was_wrapped_long_before(url: str) -> None:
    own = Reading("2", T + 1, UNWRAP, "ldap-web", names=("KEY",), unwraps="h1")
    async with await Store.open(url, node="n", secret=b"k", access_rules=RULES) as store:
        assert await uses(store, [WRAPPED], [own]) == [("secret/x", "approle:ci", 1), ("secret/x", "ldap-web", 1)]
        [found] = [one for one in await store.incidents.find() if one.rule == "access-policy"]
        assert (found.severity, found.labels["secret"], found.labels["principal"]) == (
            "critical", "secret/x", "ldap-web",
        )  # fmt: skip


async def test_who_shows_nothing_but_the_token_acts_for_whoever_had_it_made(url: str) -> None:
    moved = Reading("2", T, "sys/wrapping/rewrap", BEARER, unwraps="h1", wraps="h2")
    got = Reading("3", T, UNWRAP, BEARER, names=("KEY",), unwraps="h2")
    async with await Store.open(url, node="n", secret=b"k", access_rules=RULES) as store:
        assert await uses(store, [WRAPPED, moved, got]) == [("secret/x", "approle:ci", 3)]
        assert await store.incidents.find() == []


async def test_what_was_wrapped_before_anybody_looked_is_known_by_its_value_or_stays_unknown(url: str) -> None:
    plain = Reading("1", T, "secret/x", "approle:ci", names=("KEY",), marks=("hmac-a",))
    known = Reading("2", T, UNWRAP, "approle:ci", names=("KEY",), marks=("hmac-a",), unwraps="h8")
    other = Reading("3", T, UNWRAP, BEARER, marks=("hmac-b",), unwraps="h9")
    async with await Store.open(url, node="n", secret=b"k", access_rules=RULES) as store:
        assert await uses(store, [plain], [known, other]) == [
            ("secret/x", "approle:ci", 2), (UNWRAP, BEARER, 1),
        ]  # fmt: skip


async def test_a_wrapped_login_is_no_reading_and_neither_is_its_unwrapping(url: str) -> None:
    login = Reading("1", T, "auth/token/create", "approle:ci", wraps="h1", counts=False)
    got = Reading("2", T, UNWRAP, BEARER, unwraps="h1")
    async with await Store.open(url, node="n", secret=b"k", access_rules=RULES) as store:
        assert await uses(store, [login], [got]) == []
