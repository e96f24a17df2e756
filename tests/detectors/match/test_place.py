from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from detectors.match import place as module
from detectors.match.place import Place, place
from tests.tables import each

parts = st.sampled_from(
    b"password api_key value: to string \n \n\n = : \" ' ( == . type <key>Secret</key> x=1 User user_id: -- # ==\nb "
    b'PasswordText Type= .equals("'.split(b" ")
)
sides = st.lists(parts, max_size=8).map(b" ".join)


@example(b"==\nb", b'" ==\nb')
@given(sides, sides)
def test_what_its_line_tells_is_what_all_before_it_tells(before: bytes, after: bytes) -> None:
    assert place(before, after) == module._place.__wrapped__(before, after)


@each(
    ("before", "name", "kind"),
    [
        (b'DB_PASSWORD = "', b"DB_PASSWORD", "name password"),
        (b'x\nname: DB_PASSWORD\nvalue: "', b"DB_PASSWORD", "name password"),
        (b"api_key=", b"api_key", "name api key"),
        (b'expect(token).toBe("', b"token", "name token"),
        (b"= ", b"", "name none"),
    ],
)
def test_the_name_before_a_value_has_a_kind(before: bytes, name: bytes, kind: str) -> None:
    where = place(before, b'"')
    assert (where.name, where.kind) == (name, kind)


def test_a_value_may_repeat_its_name() -> None:
    where = Place(b"api_token", b"apitoken", "name token", False, ())
    assert [where.repeated(value) for value in (b"ApiToken", b"my-api_token", b"k3J9x2M4q8", b"api")] == [
        True,
        True,
        False,
        False,
    ]
