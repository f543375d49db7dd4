"""What tests with running peers share: a lab, and its logs below every failure."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from tests.peers import lab as labs


@pytest.fixture
def lab() -> Iterator[labs.Lab]:
    """Peers for one test."""
    with labs.Lab() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the peers logged."""
    report = yield
    if report.failed and labs.RUNNING:
        report.sections.append(("Logs of the peers", labs.logs()))
    return report
