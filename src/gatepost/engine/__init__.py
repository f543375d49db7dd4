"""Drives the flow: gathers facts, works the queue, delivers, builds everything once."""
