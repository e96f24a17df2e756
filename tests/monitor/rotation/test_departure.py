from __future__ import annotations

import pytest

from monitor.access.policy import AccessConfig
from monitor.rotation.departure import identities, reach, same

POLICIES = (
    AccessConfig(name="people", principals=("ldap-anna", "ldap-bob"), secrets=("secret/billing",)),
    AccessConfig(name="ops", principals=("oidc-*",), secrets=("secret/ops#ROOT", "secret/ops")),
    AccessConfig(name="never", principals=("ldap-anna",), secrets=("secret/payroll",), never=True),
)


@pytest.mark.parametrize(
    "principal",
    [
        "anna",
        "ldap-anna",
        "Anna@Example.org",
        "arn:aws:iam::123456789012:user/anna",
        "arn:aws:sts::123456789012:assumed-role/admin/anna@example.org",
        "user:anna",
    ],
)
def test_somebody_is_known_under_several_names(principal: str) -> None:
    assert identities("anna", [principal]) == [principal]


@pytest.mark.parametrize("principal", ["joanna", "ldap-joanna", "annabel", "ann", "arn:aws:iam::1:user/anna/bob", ""])
def test_others_are_not_taken_for_them(principal: str) -> None:
    assert identities("anna", [principal]) == []


def test_what_they_read_and_what_they_were_permitted() -> None:
    reads = [("secret/app", "ldap-anna"), ("secret/app", "ldap-bob"), ("secret/ops", "oidc-anna"), ("x", "ldap-bob")]
    known = ["secret/billing.KEY", "secret/ops.ROOT", "secret/payroll", "secret/other"]
    assert reach("anna", POLICIES, reads, known) == {
        "secret/app": ["ldap-anna read it"],
        "secret/billing.KEY": ['[[access]] "people" permits them'],
        "secret/ops": ["oidc-anna read it"],
        "secret/ops.ROOT": ['[[access]] "ops" permits them'],
    }
    assert reach("carol", POLICIES, reads, known) == {}
    assert reach("oidc-carol", POLICIES, reads, known) == {
        "secret/ops.ROOT": ['[[access]] "ops" permits them'],
    }


def test_names_of_the_inventory_and_of_audit_records() -> None:
    assert same("secret/app", "secret/app.KEY")
    assert same("secret/app#KEY", "secret/app.KEY")
    assert not same("secret/app#KEY", "secret/app.OTHER")
    assert not same("secret/a#KEY", "secret/b.KEY")
    assert same("project/jwt", "jwt")
    assert not same("project/jwt", "other/jwt")


def test_who_took_all_at_once_may_know_each_of_them() -> None:
    reads = [("sys/storage/raft/snapshot", "ldap-anna"), ("prod/*", "ldap-bob")]
    known = ["secret/db.PASSWORD", "prod/api", "HOME"]
    assert reach("anna", [], reads, known) == {
        "prod/api": ["ldap-anna read sys/storage/raft/snapshot, which it may have been among"],
        "secret/db.PASSWORD": ["ldap-anna read sys/storage/raft/snapshot, which it may have been among"],
        "sys/storage/raft/snapshot": ["ldap-anna read it"],
    }
    assert list(reach("bob", [], reads, known)) == ["prod/*", "prod/api"]
