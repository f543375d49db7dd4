"""The configuration file as frozen settings."""
