import pytest

from gatepost.mail.address import Mailbox
from gatepost.smtp import commands, extensions
from gatepost.smtp.replies import Fault


def code(line: str, *, smtputf8: bool = False) -> int:
    try:
        if line.startswith("RCPT TO:"):
            commands.rcpt(line[5:], smtputf8=smtputf8, postmaster_domain="gw.example")
        else:
            commands.mail(line[5:], smtputf8=smtputf8)
    except Fault as fault:
        return fault.answer.code
    return 250


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MAIL FROM:<>", 250),
        ("MAIL FROM: <a@b.example>", 250),
        ("MAIL from:<a@b.example> body=8bitmime ret=hdrs", 250),
        ("MAIL FROM:<a@b.example> SIZE=0", 250),
        ("MAIL FROM:<a@b.example> SIZE=x", 501),
        ("MAIL FROM:<a@b.example> SIZE", 501),
        ("MAIL FROM:<a@b.example> SIZE=999999999999999999999", 501),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", 501),
        ("MAIL FROM:<a@b.example> RET=BODY", 501),
        ("MAIL FROM:<a@b.example> ENVID=a+2Bb", 250),
        ("MAIL FROM:<a@b.example> ENVID=a+b", 501),
        ("MAIL FROM:<a@b.example> ENVID=" + "e" * 101, 501),
        ("MAIL FROM:<a@b.example> AUTH=<>", 555),
        ("MAIL FROM:<a@b.example> SMTPUTF8", 555),
        ("MAIL FROM:<a@b.example> NOTIFY=NEVER", 555),
        ("MAIL FROM:<ä@b.example>", 553),
        ("MAIL FROM:<a@>", 501),
        ("MAIL FROM:a@b.example", 501),
        ("MAIL TO:<a@b.example>", 501),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER", 250),
        ("RCPT TO:<a@b.example> NOTIFY=success,delay", 250),
        ("RCPT TO:<a@b.example> NOTIFY=SUCCESS,SUCCESS", 501),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", 501),
        ("RCPT TO:<a@b.example> NOTIFY=", 501),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;c+2Bd@e.example", 250),
        ("RCPT TO:<a@b.example> ORCPT=rfc822", 501),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;a+b", 501),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;" + "o" * 500, 501),
        ("RCPT TO:<a@b.example> SIZE=1", 555),
        ("RCPT TO:<>", 501),
        ("RCPT TO:<postmaster>", 250),
        ("RCPT TO:<a b@c.example>", 501),
        ("RCPT TO:<ä@c.example>", 553),
    ],
)
def test_parameters_and_their_replies(line: str, expected: int) -> None:
    """A legal command is refused, or a wish the gateway cannot keep is promised."""
    assert expected == code(line)


def test_smtputf8() -> None:
    """International addresses are refused though the service was offered."""
    assert code("MAIL FROM:<ä@b.example> SMTPUTF8", smtputf8=True) == 250
    assert code("MAIL FROM:<ä@b.example>", smtputf8=True) == 553
    assert code("MAIL FROM:<ä@b.example> SMTPUTF8=1", smtputf8=True) == 501
    assert code("RCPT TO:<ä@b.example>", smtputf8=True) == 250


def test_dsn_wishes_are_carried() -> None:
    """An author who asked for a receipt gets none (RFC 3461 section 4)."""
    envelope, size = commands.mail("FROM:<a@b.example> RET=FULL ENVID=Q1 SIZE=5", smtputf8=False)
    assert (envelope.ret, envelope.envid, size) == ("FULL", "Q1", 5)
    recipient = commands.rcpt(
        "TO:<c@d.example> NOTIFY=FAILURE ORCPT=rfc822;x@y.example",
        smtputf8=False,
        postmaster_domain="gw.example",
    )
    assert (recipient.notify, recipient.orcpt) == ("FAILURE", "rfc822;x@y.example")


def test_postmaster_without_domain() -> None:
    """Nobody can report a problem (RFC 5321 section 4.5.1)."""
    recipient = commands.rcpt("TO:<PostMaster>", smtputf8=False, postmaster_domain="gw.example")
    assert Mailbox("PostMaster", "gw.example") == recipient.mailbox


def test_forwarded_attributes() -> None:
    """A client forges log lines or the trace through XFORWARD."""
    found = extensions.forwarded("NAME=spike.example addr=192.0.2.1 HELO=[UNAVAILABLE]")
    assert found == {"NAME": "spike.example", "ADDR": "192.0.2.1", "HELO": ""}
    for bad in ("", "NAME", "LOGIN=x", "NAME=a+0D+0Ab", "NAME=" + "a" * 256):
        with pytest.raises(Fault):
            extensions.forwarded(bad)


def test_substituted_addresses() -> None:
    """What a proxy calls a zone of an address is written into a Received field."""
    found = extensions.substituted("ADDR=IPv6:2001:DB8::7 PORT=25")
    assert found == {"ADDR": "2001:db8::7", "PORT": "25"}
    for bad in ("ADDR=fe80::1%eth0", "ADDR=fe80::1%a+20b", "ADDR=192.0.2.300"):
        with pytest.raises(Fault):
            extensions.substituted(bad)


def test_offer() -> None:
    """The next hop's limit or TLS offer is overlooked."""
    found = extensions.parse_offer(("PIPELINING", "size 1000", "AUTH=LOGIN PLAIN", "", "STARTTLS "))
    assert found == {"PIPELINING": "", "SIZE": "1000", "AUTH": "LOGIN PLAIN", "STARTTLS": ""}
