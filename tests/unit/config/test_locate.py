"""Lines of keys in TOML text."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.locate import line_of, lines

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
