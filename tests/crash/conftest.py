"""Shows the logs of every running gateway and Postfix below a failure."""

from tests.peers.fixture import lab, pytest_runtest_makereport

__all__ = ["lab", "pytest_runtest_makereport"]
