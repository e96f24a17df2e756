from __future__ import annotations

from sqlalchemy import insert, select

from monitor.store.chain import COLUMNS, broken, link, start
from monitor.store.database import Database
from monitor.store.schema import audit

KEY = b"k" * 16


def test_a_chain_binds_its_incident_its_entries_and_their_order(url: str) -> None:
    database = Database(url)
    mac = start(KEY, "a")
    with database.transaction(durable=True) as connection:
        for number in range(4):
            row = dict.fromkeys(COLUMNS, "") | {"at": float(number), "incident": "a", "state": "open"}
            mac = row["mac"] = link(KEY, mac, row)
            connection.execute(insert(audit).values(**row))
        rows = list(connection.execute(select(audit).order_by(audit.c.seq)))
    database.dispose()
    assert broken(KEY, "a", rows, 4, mac) is None
    assert "entries after the 3th are gone: 1" in (broken(KEY, "a", rows[:3], 4, mac) or "")
    for others in (rows[1:], [rows[1], rows[0], *rows[2:]], [*rows, rows[0]]):
        assert broken(KEY, "a", others, 4, mac)
    assert broken(KEY, "b", rows, 4, mac)
    assert broken(b"x" * 16, "a", rows, 4, mac)
