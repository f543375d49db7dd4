"""Alembic migrations of the directory's schema, run by `store.database.migrate`."""
