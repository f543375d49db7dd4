"""Commands listed under headings; plain help, because loading Rich for it takes 150 ms."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_WHOLE = 1000  # characters: a first sentence is never cut


class Group(TyperGroup):
    """A group whose help lists its commands by panel, in the order they were added."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  Typer's signature
        """Every command's name, in the order of the source."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write one section per panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                title = panel if isinstance(panel, str) else "Commands"
                panels.setdefault(title, []).append((name, command.get_short_help_str(_WHOLE)))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def group(**settings: Any) -> typer.Typer:
    """A Typer group in the house's manner."""
    return typer.Typer(
        cls=Group,
        no_args_is_help=True,
        add_completion=settings.pop("add_completion", False),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **settings,
    )
