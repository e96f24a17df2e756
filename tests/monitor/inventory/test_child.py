"""The process that reads an entry: what it says, and to whom."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
from pathlib import Path

from monitor.inventory.child import LEFT, width
from monitor.inventory.worth import bits

VALUE = "".join(random.Random(4).choices(string.ascii_letters + string.digits, k=40))


def test_an_anchor_leaves_sixty_four_bits_unknown_where_the_value_has_them() -> None:
    source = random.Random(5)
    for size in (12, 14, 16, 18, 20, 40):
        value = bytes(source.choices((string.ascii_letters + string.digits).encode(), k=size))
        left = bits(value) * (size - width(value)) / size
        assert 4 <= width(value) <= 8
        assert left >= LEFT or width(value) == 4
        assert left > 45
    assert width(VALUE.encode()) == 8


def test_it_speaks_to_a_pipe_only_and_never_of_a_value(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[monitor]\nstate_dir = "state"\n[[inventory]]\nname = "e"\ntype = "dotenv"\npath = [".env", "gone.env"]\n'
    )
    (tmp_path / ".env").write_text(f"KEY={VALUE}\nMODE=x\n")
    command = [sys.executable, "-m", "monitor.inventory.child", str(config), "e"]
    with (tmp_path / "out").open("wb") as out:
        refused = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert (refused.returncode, "for the monitor itself" in refused.stderr) == (1, True)
    assert (tmp_path / "out").read_bytes() == b""

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert "no such file" in last["error"]
    assert [(row["kept"]["name"], len(row["anchors"])) for row in rows] == [
        (f"{tmp_path}/.env:KEY", 1),
        (f"{tmp_path}/.env:MODE", 0),
    ]
    print_, piece, at, size, _ = rows[0]["anchors"][0]
    assert bytes.fromhex(piece).decode() == VALUE[at : at + 8]
    assert (print_, size) == (rows[0]["kept"]["prints"][0]["fingerprint"], 40)
    assert not any(VALUE[at : at + 9] in done.stdout for at in range(31))
