from __future__ import annotations

from monitor.accounts.guesses import Guesses

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Now:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_brute_force_who_guesses_waits_ever_longer() -> None:
    clock = Now()
    guesses = Guesses(clock)
    waits = []
    for _ in range(40):
        guesses.wrong(HERE, "ana")
        waits.append(guesses.wait(HERE, "ana"))
        clock.now += waits[-1]
        assert guesses.wait(HERE, "ana") == 0
    assert waits[:3] == [0, 0, 0]
    assert waits[3:7] == [1, 2, 4, 8]
    assert waits[-1] == 900


def test_brute_force_others_still_get_in() -> None:
    clock = Now()
    guesses = Guesses(clock)
    for number in range(10):
        guesses.wrong(HERE, "ana")
        assert number < 3 or guesses.wait(HERE, "ana") > 0
    assert guesses.wait(HERE, "bob") == 0  # an office has one address
    assert guesses.wait(THERE, "ana") == 0
    for number in range(20):
        guesses.wrong(HERE, f"name{number}")
    assert guesses.wait(HERE, "bob") > 0
    assert guesses.wait(THERE, "bob") == 0


def test_brute_force_from_everywhere_leaves_each_address_one_guess() -> None:
    guesses = Guesses(Now())
    for number in range(40):
        guesses.wrong(f"192.0.2.{number}", "ana")
    assert guesses.wait("198.51.100.1", "ana") == 0
    guesses.wrong("198.51.100.1", "ana")
    assert guesses.wait("198.51.100.1", "ana") > 0
    assert guesses.wait("198.51.100.1", "bob") == 0


def test_what_is_forgiven_and_forgotten() -> None:
    clock = Now()
    guesses = Guesses(clock)
    for _ in range(8):
        guesses.wrong(HERE, "ana")
    guesses.right(HERE, "ana")
    assert guesses.wait(HERE, "ana") == 0
    for _ in range(8):
        guesses.wrong(HERE, "ana")
    clock.now += 3601
    assert guesses.wait(HERE, "ana") == 0


def test_memory_is_bounded() -> None:
    guesses = Guesses(Now(), most=50)
    for number in range(500):
        guesses.wrong(f"192.0.2.{number % 250}", f"name{number}")
        guesses.right(f"192.0.2.{number % 250}", "ana")
    assert max(map(len, (guesses._pairs, guesses._addresses, guesses._names, guesses._right))) == 50
    assert guesses.familiar("192.0.2.249")
    assert not guesses.familiar("192.0.2.1")
