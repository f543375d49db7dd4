"""`python -m gatepost`, and the `gatepost` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from gatepost.cli.run import called, run  # noqa: PLC0415  importing this module costs nothing

    sys.exit(run(called(sys.argv[0], sys.argv[1:])))


if __name__ == "__main__":
    main()
