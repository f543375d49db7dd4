"""Shows the logs of every running gateway and Postfix below a failure."""

import logging

from tests.peers.fixture import lab, pytest_runtest_makereport
from tests.peers.postgres import server

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd tells every line
logging.getLogger("alembic").setLevel(logging.WARNING)  # and this one every table

__all__ = ["lab", "pytest_runtest_makereport", "server"]
