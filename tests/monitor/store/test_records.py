from __future__ import annotations

from dataclasses import fields

import pytest

from monitor.store import records
from monitor.store.schema import metadata

_SECRET = {"secret", "value", "match", "raw", "data", "body", "context", "password", "token"}


@pytest.mark.parametrize("name", records.__all__)
def test_no_record_has_a_place_for_a_secret(name: str) -> None:
    assert not {field.name for field in fields(getattr(records, name))} & _SECRET


def test_no_table_has_a_place_for_a_secret() -> None:
    columns = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
    named = {column for column in columns if column.split(".")[1] in _SECRET}
    # The schema version; a random mark; the line around it, in which every match is masked; names of secrets.
    names = {"reads.secret", "habits.secret", "marks.secret", "wrappings.secret"}
    # Of a wrapping token a keyed hash; of a password argon2id.
    hashes = {"wrappings.token", "users.password"}
    assert named == {"meta.value", "batches.token", "findings.context", *hashes, *names}
