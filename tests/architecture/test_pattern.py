"""Every regular expression means the same on every Python we run on."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

from tests.conftest import ROOT

# Python 3.11.2 (Debian 12) matches these wrongly: https://github.com/python/cpython/issues/106052
BROKEN = {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}


def test_no_possessive_pattern() -> None:
    """A header that ends elsewhere than we think leaves text outside the encryption."""
    found = [
        f"{path.relative_to(ROOT)}: {pattern!r}"
        for path in (ROOT / "src").rglob("*.py")
        for pattern in _patterns(ast.parse(path.read_text()))
        if BROKEN & set(_operations(_parsed(pattern)))
    ]
    assert found == []


def _patterns(tree: ast.AST) -> Iterator[str | bytes]:
    """Every literal in a call of the `re` module, parts of composed ones too."""
    calls = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
    )
    for call in calls:
        for node in ast.walk(call):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                with suppress(re.error):  # a part of a composed pattern may be none by itself
                    _parsed(node.value)
                    yield node.value


def _parsed(pattern: str | bytes) -> Iterable[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast("Iterable[Any]", re._parser.parse(pattern))  # type: ignore[attr-defined]


def _operations(parsed: Iterable[Any]) -> Iterator[str]:
    """The names of every operation in a parsed pattern, nested ones too."""
    for part in parsed:
        if isinstance(part, tuple | list) or type(part).__name__ == "SubPattern":
            yield from _operations(part)
        elif type(part).__name__ == "_NamedIntConstant":
            yield str(part)
