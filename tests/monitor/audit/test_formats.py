from __future__ import annotations

import pytest

from monitor.audit.formats import YamlError, documents, items, lookup, scalars, settings, variables, words


def test_nodes_have_lines_and_aliases_are_met_once() -> None:
    (node,) = documents("a:\n  b: &x [one, two]\nc: *x\n")
    assert [key for key, _ in items(node)] == ["a", "c"]
    found = lookup(node, "a", "b")
    assert found is not None
    assert found.start_mark.line == 1
    assert lookup(node, "a", "gone") is None
    assert lookup(node, "c", "b") is None
    assert [one.value for one in scalars(node)] == ["a", "b", "one", "two", "c"]
    assert list(items(None)) == list(scalars(None)) == []


def test_a_bomb_of_aliases_ends() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 60))
    merges = "\n".join(f"m{n}: &m{n}\n  <<: [{', '.join([f'*m{n - 1}'] * 9)}]" for n in range(1, 60))
    (node,) = documents(f"l0: &l0 [x]\n{levels}\nm0: &m0 {{a: b}}\n{merges}")
    assert sum(1 for _ in scalars(node)) < 1000


@pytest.mark.parametrize("text", ["a: [", "\x00", "a: &x\n  b: *y", "[" * 1500, "!!python/x {}: [", "x" * 600_000])
def test_what_is_broken_is_told_without_its_content(text: str) -> None:
    with pytest.raises(YamlError) as caught:
        documents(text)
    assert len(str(caught.value)) < 60


def test_a_tag_makes_nothing() -> None:
    (node,) = documents("!!python/object/apply:os.system ['touch /tmp/x']")
    assert [one.value for one in scalars(node)] == ["touch /tmp/x"]
    assert documents("") == []


def test_settings_with_continued_lines_and_comments() -> None:
    text = "[Service]\n# A=b\nExecStart=/bin/a \\\n  --b\n;C=d\nUser = x\n"
    assert list(settings(text)) == [(3, "ExecStart", "/bin/a  --b"), (6, "User", "x")]


def test_words_are_names_and_values() -> None:
    assert words('A=1 "B=two words" c') == [("A", "1"), ("B", "two words")]
    assert words("A=1 'B=2") == [("A", "1"), ("'B", "2")]


def test_lines_of_a_dotenv() -> None:
    text = '# comment\nexport A=1 # why\nB=\'x # y\'\nC="one\ntwo"\nD: z\nnot a line\nE=\nF=a#b\nG="never closed\n'
    found = [(one.name, one.value, one.line) for one in variables(text)]
    assert found == [
        ("A", "1", 2), ("B", "x # y", 3), ("C", "one\ntwo", 4), ("D", "z", 6), ("E", "", 8), ("F", "a#b", 9),
        ("G", '"never closed', 10),
    ]  # fmt: skip
