"""The configuration as JSON Schema, for editors and generators of configurations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from gatepost.config.quantity import written
from gatepost.config.settings import Settings

_ISO_DURATION = re.compile(r"P[\dT]")


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of gatepost.toml."""
    made = TypeAdapter(Settings).json_schema(mode="validation")
    tables = made["$defs"]
    for table in tables.values():
        for name, key in table.get("properties", {}).items():
            key.setdefault("description", _inherited(tables, name))
            if isinstance(given := key.get("default"), str) and _ISO_DURATION.match(given):
                key["default"] = written(TypeAdapter(timedelta).validate_python(given))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "gatepost.toml",
    }


def _inherited(tables: dict[str, Any], name: str) -> str:
    """A route is a relay: what the docstrings there say is not repeated in its schema."""
    return str(tables["Relay"]["properties"].get(name, {}).get("description", ""))
