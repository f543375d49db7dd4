"""On which line of a TOML text a key stands; `tomllib` tells values only.

Knows just enough of TOML 1.0 to follow tables, arrays of tables, dotted keys and values
that span lines; keys inside inline tables are found by the line of their owner.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
MAXIMUM_PARTS = 16  # of one dotted key: `tomllib` takes time by their square

_PART = re.compile(r"""\s*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))\s*""")
# What matters inside a value: strings (with their ends), comments and brackets.
_TOKEN = re.compile(
    r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]',
)


_BARE = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+"
_WORD = rf"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|{_BARE})"""
# Keys that are too long, and whatever holds what only looks like one; what does not end is
# passed over to its line's end, or it would be read again from its every quote.
_LONG = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|#[^\n]*|'
    rf"(?P<key>(?:{_WORD}[ \t]*\.[ \t]*){{{MAXIMUM_PARTS}}})|{_BARE}|"
    r""""(?:[^"\\\n]|\\.)*(?:"|\\?$|\\?\Z)|'[^'\n]*""",
    re.DOTALL | re.MULTILINE,
)


def overlong(text: str) -> int:
    """The line of the first key that has more parts than any of ours; 0 if there is none."""
    found = next((one for one in _LONG.finditer(text) if one["key"]), None)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def lines(text: str) -> dict[Path, int]:
    """Map each key path to its line, counted from 1."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    open_string, depth = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not open_string and depth == 0:
            stripped = line.lstrip()
            if stripped.startswith("["):
                table = _header(stripped, counts)
                found.setdefault(table, number)
                continue
            keys, _ = _keys(stripped)
            if keys:
                for length in range(1, len(keys) + 1):
                    found.setdefault((*table, *keys[:length]), number)
        open_string, depth = _after(line, open_string, depth)
    return found


def line_of(found: dict[Path, int], path: Path) -> int:
    """The line of a path, of its nearest owner or of its first part; 0 if nothing is there."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
        parts = [line for one, line in found.items() if one[:length] == path[:length]]
        if parts:
            return min(parts)
    return 0


def _header(line: str, counts: dict[Path, int]) -> Path:
    doubled = line.startswith("[[")
    keys, _ = _keys(line[2 if doubled else 1 :])
    path: Path = ()
    for position, key in enumerate(keys):
        path = (*path, key)
        if doubled and position == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _keys(text: str) -> tuple[Path, int]:
    keys: list[str | int] = []
    position = 0
    while match := _PART.match(text, position):
        keys.append(match[1] or match[2] or match[3] or "")
        position = match.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    return tuple(keys), position


def _after(line: str, open_string: str, depth: int) -> tuple[str, int]:
    """State after this line: the multi-line string still open and the depth of brackets."""
    position = 0
    while True:
        if open_string:
            end = line.find(open_string, position)
            if end < 0:
                return open_string, depth
            position, open_string = end + 3, ""
        match = _TOKEN.search(line, position)
        if match is None:
            return "", depth
        mark, position = match[0], match.end()
        if mark in ('"""', "'''"):
            open_string = mark
        elif mark in "[{":
            depth += 1
        elif mark in "]}":
            depth = max(depth - 1, 0)
