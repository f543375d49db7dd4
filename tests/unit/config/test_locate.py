"""Lines of keys in TOML text."""

import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.locate import line_of, lines, overlong

TEXT = '''\
top = 1
"quoted key" = 2
a.b = 3

[one]
list = [
    "x", # ] not the end
    { y = 1 },
]
text = """
[not.a.table]
fake = 1
"""
after = 1
[[many]]
key = 1
[many.sub]
inner = 1
[[many]]
key = "]"
'single' = 2
'''


def test_every_key_has_its_line() -> None:
    """A complaint points at the wrong line."""
    found = lines(TEXT)
    assert found[("top",)] == 1
    assert found[("quoted key",)] == 2
    assert found[("a", "b")] == 3
    assert found[("one", "list")] == 6
    assert found[("one", "text")] == 10
    assert ("one", "fake") not in found
    assert found[("one", "after")] == 14
    assert found[("many", 0, "key")] == 16
    assert found[("many", 0, "sub", "inner")] == 18
    assert found[("many", 1, "key")] == 20
    assert found[("many", 1, "single")] == 21
    assert line_of(found, ("one", "list", 1, "y")) == 6
    assert line_of(found, ("nowhere",)) == 0
    assert line_of(found, ("many",)) == min(at for key, at in found.items() if key[0] == "many")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\n" + "a." * 16 + "a = 1", 2),
        ('"a".' * 8 + "'b' . " * 8 + "b = 1", 1),
        ("[[" + "a . " * 16 + "b]]", 1),
        ("a = {" + "a." * 16 + "a = 1}", 1),
        ("a." * 15 + "a = 1", 0),
        ('a = "' + "1." * 40 + '"  # ' + "a." * 40, 0),
        ('a = """\n' + "a." * 40 + '"""', 0),
        ("a = '''\n" + "a." * 40 + "'''", 0),
    ],
)
def test_keys_of_too_many_parts(text: str, line: int) -> None:
    """A file of a megabyte is read for hours, or an address with many dots is refused."""
    assert overlong(text) == line


@pytest.mark.parametrize("piece", ['"\\', '"', "'", "a.", "a ", '"""a.', "'''", '"a".', "#", "-"])
def test_long_lines_take_linear_time(piece: str) -> None:
    """The same of a file that is no TOML at all."""
    began = time.process_time()
    overlong(piece * (500_000 // len(piece)))
    assert time.process_time() - began < 3


@given(st.text(alphabet="[]{}\"'=.#\\\n ab1", max_size=200))
def test_any_text_gets_lines(text: str) -> None:
    """Strange text ends in a traceback instead of a complaint."""
    found = lines(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {key for key in data if key} <= {path[0] for path in found}
