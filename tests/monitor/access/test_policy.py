from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.access.policy import AccessConfig, allowed, audited, breach, covers, names_of, permits, within
from monitor.access.reading import Reading
from monitor.common.problems import check

GATEWAY = AccessConfig(
    name="gateway", principals=("approle:gateway",), secrets=("SUPABASE_SERVICE_KEY", "JWT_SECRET", "INFERENCE_*")
)
NEVER = AccessConfig(name="inference", principals=("*inference*",), secrets=("*",), never=True)


def reading(principal: str, *names: str, secret: str = "secret/supabase", address: str = "10.0.0.1") -> Reading:
    return Reading("1", 0.0, secret, principal, names=names, address=address)


def test_a_secret_that_an_entry_covers_is_for_those_it_names() -> None:
    assert breach([GATEWAY], reading("approle:gateway", "JWT_SECRET", "INFERENCE_URL")) is None
    found = breach([GATEWAY], reading("approle:web", "OTHER", "JWT_SECRET"))
    assert found is not None
    assert found.item == "secret/supabase#JWT_SECRET"
    assert found.reason == '[[access]] "gateway" permits approle:gateway only'
    assert breach([GATEWAY], reading("approle:web", "OTHER")) is None
    assert breach([], reading("anybody", "JWT_SECRET")) is None


def test_never_goes_before_every_permission() -> None:
    both = AccessConfig(name="all", principals=("*",), secrets=("*",))
    found = breach([both, NEVER, GATEWAY], reading("jwt-inference-7", "JWT_SECRET"))
    assert found is not None
    assert (found.never, found.reason) == (True, '[[access]] "inference" says never')
    assert not allowed([NEVER], reading("jwt-inference-7", "JWT_SECRET"))


def test_several_entries_add_up() -> None:
    people = AccessConfig(name="people", principals=("ldap-*",), secrets=("JWT_SECRET",))
    assert breach([GATEWAY, people], reading("ldap-anna", "JWT_SECRET")) is None
    found = breach([GATEWAY, people], reading("token", "JWT_SECRET"))
    assert found is not None
    assert "approle:gateway, ldap-*" in found.reason


def test_networks_narrow_a_permission() -> None:
    near = AccessConfig(name="near", principals=("svc",), secrets=("K",), addresses=("10.0.0.0/8", "2001:db8::/32"))
    for address in ("10.1.2.3", "2001:db8::5", "::ffff:10.1.2.3"):
        assert breach([near], reading("svc", "K", address=address)) is None
    for address in ("192.0.2.1", "", "some.service"):
        found = breach([near], reading("svc", "K", address=address))
        assert found is not None
        assert "(10.0.0.0/8, 2001:db8::/32)" in found.reason


def test_a_secret_goes_by_each_of_its_names() -> None:
    assert names_of("secret/app#KEY") == ("secret/app#KEY", "secret/app", "KEY")
    assert names_of("prod/db/password") == ("prod/db/password", "password")
    assert covers(GATEWAY, "secret/supabase#INFERENCE_TOKEN")
    assert not covers(GATEWAY, "secret/supabase")
    assert permits(NEVER, "eu-inference-1")
    assert allowed([GATEWAY], reading("approle:gateway", "JWT_SECRET"))
    assert not allowed([GATEWAY], reading("approle:gateway", "JWT_SECRET", "OTHER"))


def test_a_name_of_the_inventory_as_policies_know_it() -> None:
    assert audited("secret/app.KEY") == "secret/app#KEY"
    assert audited("secret/app") == "secret/app"
    assert audited(".hidden") == ".hidden"


def test_ids_of_items_are_names() -> None:
    id_ = "abcdefghijklm0123456789xyz"
    assert AccessConfig(name="x", principals=("a",), secrets=(f"{id_}/{id_}",)).secrets == (f"{id_}/{id_}",)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"principals": []}, "access[0].principals"),
        ({"secrets": []}, "access[0].secrets"),
        ({"addresses": ["10.0.0.0/33"]}, 'such as "10.0.0.0/8"'),
        ({"secrets": ["ghp_" + "a1" * 12]}, "looks like the secret itself"),
        ({"name": "with space"}, "access[0].name"),
        ({"may": True}, "access[0].may"),
    ],
)
def test_a_wrong_entry_is_named_by_its_key(wrong: dict[str, object], words: str) -> None:
    entry = {"name": "x", "principals": ["a"], "secrets": ["b"], **wrong}
    found, problems = check(AccessConfig, entry, "access[0]")
    assert found is None
    assert any(words in f"{problem.key}: {problem.message}" for problem in problems)
    with pytest.raises(ValidationError):
        AccessConfig.model_validate(entry)


SNAPSHOT = "sys/storage/raft/snapshot"


@pytest.mark.parametrize(
    ("many", "pattern", "met"),
    [
        (SNAPSHOT, "secret/payroll", True),
        (SNAPSHOT, "secret/*", True),
        (SNAPSHOT, "*", True),
        (SNAPSHOT, "PAYROLL", False),  # nothing says that it is Vault's
        ("/prod/*", "/prod/db", True),
        ("/prod/*", "*/db", True),
        ("/prod/*", "/p??d/[dx]b", True),
        ("/prod/*", "/stage/*", False),
        ("* (BatchGetSecretValue by tag-key)", "prod/db", True),
        ("prod/d*", "prod/e", False),
        ("prod/d", "prod/*x", False),
    ],
)
def test_a_reading_of_many_is_held_to_what_is_said_of_each(many: str, pattern: str, met: bool) -> None:
    owner = AccessConfig(name="owner", principals=("approle:owner",), secrets=(pattern,))
    never = AccessConfig(name="never", principals=("*-web",), secrets=(pattern,), never=True)
    found = breach([owner], reading("approle:backup", secret=many))
    assert (found is not None) == met
    assert breach([owner], reading("approle:owner", secret=many)) is None
    found = breach([never], reading("approle-web", secret=many))
    assert (found is not None and found.never) == (met or pattern == "PAYROLL")
    assert breach([never], reading("approle:backup", secret=many)) is None


def test_who_may_read_as_much_by_its_name_may_though_others_own_parts_of_it() -> None:
    owner = AccessConfig(name="owner", principals=("approle:owner",), secrets=("secret/payroll", "/prod/db"))
    backup = AccessConfig(name="backup", principals=("approle:backup",), secrets=(SNAPSHOT, "/prod/*"))
    for many in (SNAPSHOT, "/prod/*"):
        assert breach([owner, backup], reading("approle:backup", secret=many)) is None
        assert breach([owner, backup], reading("approle:owner", secret=many)) is not None
    assert within("secret/payroll", SNAPSHOT)
    assert within("/prod/db", "/prod/*")
    assert not within("/prod/db", "/prod/db")
