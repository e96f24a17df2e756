"""A table whose row takes microseconds is one test: by itself each row would take milliseconds, six times over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["each"]


def each(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """As `pytest.mark.parametrize`, in one test that goes over all rows and names each that fails."""
    listed = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    table = [row if len(listed) > 1 else (row,) for row in rows]
    assert table, "a table without rows would hold nothing"

    def over(test: Callable[..., None]) -> Callable[[], None]:
        def all_rows() -> None:
            failed = []
            for row in table:
                try:
                    test(**dict(zip(listed, row, strict=True)))
                except (AssertionError, pytest.fail.Exception) as error:
                    failed.append(f"{row!r}: {error}")
            assert not failed, "\n".join(failed)

        all_rows.__name__, all_rows.__qualname__, all_rows.__doc__ = test.__name__, test.__qualname__, test.__doc__
        all_rows.__module__ = test.__module__
        return all_rows

    return over
