"""Run one entry through the product code that handles its like, and time it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

from tests.conformance import objects
from tests.conformance.arrival import arrive
from tests.conformance.entry import Entry
from tests.conformance.seen import Seen

from gatepost.errors import GatepostError

_PEM = re.compile(rb"\A-----BEGIN |^-----BEGIN CMS-----", re.MULTILINE)
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{60,}={0,2}\r?\n")


def observe(entry: Entry) -> Seen:
    """Whatever happens, an answer."""
    content = entry.octets
    look = _way(entry, content)
    began = time.thread_time()
    try:
        seen = look(entry, content)
    except GatepostError as error:
        seen = Seen(fault=str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001  anything else is what this is all about
        seen = Seen(surprise=f"{type(error).__name__}: {error}")
    return replace(seen, seconds=time.thread_time() - began)


def _way(entry: Entry, content: bytes) -> Callable[[Entry, bytes], Seen]:
    if entry.label == "p12-imports":
        return objects.bundle
    if entry.label == "tnef-attachments":
        return objects.tnef
    if entry.kind == "path":
        return objects.limbo if entry.row["file"].endswith(".json") else objects.path
    if entry.row.get("sequence"):
        return objects.session
    return objects.cms if _is_bare(content) else arrive


def _is_bare(content: bytes) -> bool:
    return bool(content[:1] == b"\x30" or _PEM.search(content) or _BASE64_LINE.match(content))
