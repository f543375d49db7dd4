"""Checks of an installation: read-only, each with an id that never means anything else."""

from gatepost.admin.check.registry import Check, Finding, Report, Status, checks, explain, run

__all__ = ["Check", "Finding", "Report", "Status", "checks", "explain", "run"]
