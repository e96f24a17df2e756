from __future__ import annotations

import pytest

from monitor.domain.model import Print, SecretVersion
from monitor.inventory.complete import Checked, Holding, NamesError, check, of_kept, of_secret, wanted
from monitor.store.inventory import Secret, Version


def holding(
    name: str, environment: str = "production", *values: str, refused: str = "", unread: bool = False
) -> Holding:
    return Holding("e", name, environment, refused, unread, frozenset(values))


def states(names: list[str], *holdings: Holding, **unasked: str) -> dict[str, str]:
    found = check(names, "prod", holdings, unasked, lambda name: name.endswith("_KEY"))
    return {one.name: one.state for one in found}


def test_names_of_a_file() -> None:
    text = b"# A comment\n#OPTIONAL=\nexport A=1\n\nB = 'two\nlines'\nC\nA=2\nNEXT_PUBLIC_X=\n"
    assert wanted(text, ["NEXT_PUBLIC_*"]) == ["A", "B", "C"]
    for wrong in (b"A=1\n= x\n", b"A=1\n<<<<<<< HEAD\n"):
        with pytest.raises(NamesError, match="line 2 is neither"):
            wanted(wrong)


def test_names_behind_a_byte_order_mark_and_many_of_them() -> None:
    assert wanted(b"\xef\xbb\xbfA\nB=1\nCD\n") == ["A", "B", "CD"]
    assert len(wanted(b"".join(b"N%d\n" % number for number in range(120_000)))) == 120_000  # took seconds, by copies


def test_a_name_is_found_whatever_stands_before_it() -> None:
    names = ["DB_PASSWORD"]
    for name in (
        "DB_PASSWORD",
        "/srv/.env:DB_PASSWORD",
        "prod/eu/DB_PASSWORD",
        "secret/app.DB_PASSWORD",
        "db-password",
    ):
        assert states(names, holding(name, "Production", "p")) == {"DB_PASSWORD": "set"}
    for name in ("MY_DB_PASSWORD", "DB_PASSWORD_OLD", "DB"):
        assert states(names, holding(name, "production", "p")) == {"DB_PASSWORD": "missing"}


def test_what_is_wrong_with_a_value() -> None:
    rows = [
        holding("A", "production", "p1"),
        holding("B", "production", "p2"),
        holding("OTHER", "staging", "p2"),
        holding("C", refused="empty"),
        holding("D", refused="shorter than 12 bytes"),
        holding("E", unread=True),
        holding("F", refused="excluded by the configuration"),
        holding("G_KEY", refused="a placeholder"),
        holding("H", refused="a placeholder"),
        holding("I", "staging", "p9"),
    ]
    assert states(list("ABCDEFHI"), *rows) | states(["G_KEY"], *rows) == {
        "A": "set", "B": "shared", "C": "empty", "D": "set", "E": "unread", "F": "unread", "G_KEY": "placeholder",
        "H": "set", "I": "missing",
    }  # fmt: skip
    (one,) = check(["B"], "live", rows, {}, bool)
    assert one == Checked("B", "shared", ("e/B",), "has the value of e/OTHER of staging")


def test_of_several_managers_the_worst_counts() -> None:
    twice = [holding("a/X", "production", "p"), holding("b/X", refused="empty"), holding("c/X", unread=True)]
    assert states(["X"], *twice) == {"X": "empty"}
    (one,) = check(["X"], "production", twice, {}, bool)
    assert one.where == ("e/a/X", "e/b/X", "e/c/X")


def test_what_could_not_be_asked_is_not_missing() -> None:
    assert states(["X"], vault="no answer") == {"X": "unknown"}
    assert states(["X"], holding("X", "")) == {"X": "unknown"}
    assert states(["X"], holding("X", "production", "p"), vault="no answer") == {"X": "set"}


def test_a_digest_stands_for_a_value_that_is_not_given() -> None:
    one, other = (
        of_kept("fly", SecretVersion("X", "digest 1", environment=where, unread=True)) for where in ("prod", "dev")
    )
    assert [found.state for found in check(["X"], "production", [one, other], {}, bool)] == ["shared"]
    assert [found.state for found in check(["X"], "production", [one], {}, bool)] == ["unread"]


def test_what_is_stored_is_the_same() -> None:
    prints = (Print("f", "", 20, "hex"),)
    version = Version("m", "", "current", None, None, None, 0, 0, None, prints)
    secret = Secret("e", "X", "production", "", (), (), "", False, 0, 0, None, (version,))
    assert of_secret(secret) == of_kept("e", SecretVersion("X", "m", environment="production", prints=prints))
    gone = Secret("e", "X", "production", "", (), (), "", False, 0, 0, 5.0, (version,))
    assert of_secret(gone) is None
