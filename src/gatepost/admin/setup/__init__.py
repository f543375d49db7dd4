"""Set up a new gateway: look first, say what would be written, write it all or nothing."""

from gatepost.admin.setup.plan import Already, Item, Plan, Request, complaint, plan
from gatepost.admin.setup.work import Result, carry_out

__all__ = ["Already", "Item", "Plan", "Request", "Result", "carry_out", "complaint", "plan"]
