from __future__ import annotations

import asyncio

import pytest

from monitor.web.console.outcomes import FormAnswers, RefusedError
from monitor.web.console.visitor import Posted, Visitor


def form(name: str, once: str) -> Posted:
    return Posted(Visitor(name, "responder"), once, {})


async def test_a_form_is_acted_on_once_also_while_it_is_under_way() -> None:
    answers, done, go = FormAnswers(), 0, asyncio.Event()

    async def work() -> str:
        nonlocal done
        done += 1
        await go.wait()
        return "fine"

    both = [asyncio.create_task(answers.once(form("ada", "o" * 20), work, "/x?a=1")) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    assert [(await task).location for task in both] == [f"/x?a=1&answer={'o' * 20}"] * 2
    assert done == 1
    await answers.once(form("eve", "o" * 20), work, "/x")
    assert done == 2, "somebody else's form is another"


async def test_what_failed_may_be_sent_again_and_what_was_refused_not() -> None:
    answers, errors = FormAnswers(), [ValueError("no"), RefusedError("not now")]

    async def work() -> str:
        if errors:
            raise errors.pop(0)
        return "fine"

    with pytest.raises(ValueError, match="no"):
        await answers.once(form("ada", "o" * 20), work, "/x")
    for _ in range(2):
        await answers.once(form("ada", "o" * 20), work, "/x")
    await answers.once(form("ada", "p" * 20), work, "/x")
    assert not errors
