"""The schema says what the parser does."""

import json
from dataclasses import fields

from gatepost.policy.parse import parse
from gatepost.policy.rules import Settings
from gatepost.policy.schema import MEANINGS, schema


def test_every_setting_is_described() -> None:
    """A new setting is missing from the editor and the documentation."""
    assert set(MEANINGS) == {one.name for one in fields(Settings)}
    assert json.loads(json.dumps(schema())) == schema()


def test_every_value_the_schema_allows_is_read() -> None:
    """An editor proposes a value that the gateway then refuses."""
    settings = schema()["properties"]["defaults"]["properties"]  # type: ignore[index]  # a JSON value
    for name, one in settings.items():
        for value in one["enum"]:
            parsed = getattr(parse(f'[defaults]\n{name} = "{value}"').defaults, name)
            assert parsed == value
