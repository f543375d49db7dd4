"""Tell in lines where a treatment's settings come from; `flow.explain` tells what became of it."""

from __future__ import annotations

from gatepost.policy.treatment import Treatment


def explain(treatment: Treatment) -> str:
    """One line per setting: effective value and origin."""
    width = max(len(origin.setting) for origin in treatment.origins)
    return "\n".join(f"{one.setting:<{width}}  {one.value:<14}  {one}" for one in treatment.origins)
