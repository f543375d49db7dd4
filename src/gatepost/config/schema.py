"""The configuration as JSON Schema, for editors and generators of configurations."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from gatepost.config.settings import Settings


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of gatepost.toml."""
    made = TypeAdapter(Settings).json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "gatepost.toml",
    }
