"""Configuration for the mail server beside the gateway, made from gatepost.toml."""

from gatepost.admin.integrate.plan import TARGETS, TOPOLOGIES, Integration, Target, integrate

__all__ = ["TARGETS", "TOPOLOGIES", "Integration", "Target", "integrate"]
