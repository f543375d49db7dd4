"""Large mail goes through the gateway in memory that does not grow with it."""

from __future__ import annotations

import pytest
from benchmarks.memory import MIB
from benchmarks.stream import measured
from tests.world import certificates, drive, facts, incoming, recipients

from gatepost.flow import inbound
from gatepost.mail.content import Octets, join
from gatepost.smime.encrypt import encrypt

CIPHER = "aes128-gcm"
HEADER = b"From: bob@partner.example\r\nSubject: Figures\r\nContent-Type: text/plain\r\n"
SIZE = 24  # MiB; the same path with 1 GiB is a benchmark
BUDGET = 16 * MIB


@pytest.mark.parametrize("options", [(), ("opaque", "cbc"), ("eight-bit",)])
def test_memory_does_not_grow_with_the_mail(options: tuple[str, ...]) -> None:
    """A few large mails at once end the process, and everybody's mail waits."""
    found = measured(SIZE, *options)
    assert found.keys() == {"sign and encrypt", "decrypt and verify"}
    assert {name: one.growth for name, one in found.items() if one.growth > BUDGET} == {}


def test_one_large_mail_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader's key opens the same; beyond a few contents the others would get none."""
    monkeypatch.setattr("gatepost.mail.content.LARGE", -1)
    readers = [f"reader{number}@xyz.example" for number in range(6)]
    header, body = encrypt(
        HEADER, Octets(b"The figures.\n"), certificates(*readers), cipher=CIPHER, entropy=bytes
    )
    plain = header + b"\r\n" + join(body)
    found = drive(incoming(plain, *readers), inbound.STAGES, facts(openers=readers))
    assert [recipients(one) for one in found] == [tuple(readers)]
    assert join(found[0].message.body) == b"The figures.\r\n"
