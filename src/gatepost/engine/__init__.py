"""Drives the flow: gathers facts, decides messages, delivers them, builds everything once."""
