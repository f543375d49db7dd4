"""The tables of the built-in kinds of `[[certificate_source]]`."""

from __future__ import annotations

import pytest
from tests.unit.config.test_identity import read

from gatepost.errors import ConfigError

SOURCE = '[[certificate_source]]\nname = "ca"\n'
EST = SOURCE + 'kind = "est"\n[certificate_source.est]\nurl = "https://est.example.com:8443"\n'
ACME = (
    SOURCE + 'kind = "acme"\n[certificate_source.acme]\nurl = "https://ca.example.com/directory"\n'
)
CMP = (
    SOURCE
    + """kind = "cmp"
[certificate_source.cmp]
url = "http://ca.example.com/cmp"
reference = "gw"
"""
)
SECRET = 'password_environment = "P"\n'
FILES = SOURCE + 'kind = "file"\n[certificate_source.file]\n'


def test_read() -> None:
    """An authority is asked elsewhere, or as somebody else."""
    (one,) = read(
        EST + 'user = "gw"\npassword_environment = "P"\nlabel = "mail"\n'
    ).certificate_source
    assert one.est is not None
    assert (one.est.url, one.est.user, one.est.label) == (
        "https://est.example.com:8443",
        "gw",
        "mail",
    )
    assert one.est.attributes
    (one,) = read(
        ACME + 'terms = "https://ca.example.com/terms"\neab_kid = "7"\npassword_environment = "P"\n'
    ).certificate_source
    assert one.acme is not None
    assert (one.acme.terms, one.acme.eab_kid) == ("https://ca.example.com/terms", "7")
    assert not one.acme.deliver_challenges
    (one,) = read(CMP + SECRET + 'recipient = "CN=Mail CA,O=Example"\n').certificate_source
    assert one.cmp is not None
    assert (one.cmp.url, one.cmp.reference) == ("http://ca.example.com/cmp", "gw")
    assert not one.cmp.sign_renewals
    renewing = 'signers = "/etc/ca.pem"\nsign_renewals = true\n'
    (one,) = read(CMP.replace('reference = "gw"\n', renewing)).certificate_source
    assert one.cmp is not None
    assert (one.cmp.reference, one.cmp.sign_renewals) == ("", True)
    (one,) = read(FILES + 'outbox = "/srv/out"\ninbox = "/srv/in"\n').certificate_source
    assert one.file is not None
    assert (str(one.file.outbox), str(one.file.inbox)) == ("/srv/out", "/srv/in")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SOURCE + 'kind = "est"', "est: is missing, the settings of this kind stand in it"),
        (EST + "[certificate_source.file]\noutbox='/a'\ninbox='/b'", "file: has no meaning"),
        (EST.replace("https", "http"), 'expected an address such as "https://ca.example.com"'),
        (EST.replace("est.example.com", "user@est.example.com"), "expected an address"),
        (EST.replace(":8443", ":99999"), "expected an address"),
        (EST.replace(":8443", "/est?a=b"), "expected an address"),
        (EST.replace(":8443", "/my/est"), "the path is always /.well-known/est; see label"),
        (EST.replace("est.example.com", "e st"), "without spaces"),
        (EST + 'user = "gw"', "user needs exactly one of password_file"),
        (EST + 'password_environment = "P"', "user needs exactly one of password_file"),
        (EST + 'key = "/k"', "key: is the key of a certificate, which is missing"),
        (ACME.replace("https", "http"), 'expected an address such as "https://ca.example.com"'),
        (ACME + 'contact = "nobody"', "contact: expected an address"),
        (ACME + 'eab_kid = "7"', "eab_kid needs one of password_file"),
        (ACME + 'password_environment = "P"', "an HMAC key needs eab_kid"),
        (CMP, "expected reference and exactly one of password_file"),
        (CMP.replace('reference = "gw"', ""), "expected reference and exactly one of"),
        (CMP.replace("reference", "recipient") + SECRET, "expected reference and exactly one of"),
        (CMP + SECRET + "sign_renewals = true\n", "sign_renewals needs signers"),
        (
            CMP.replace('reference = "gw"', 'signers = "/s"\nsign_renewals = true')
            + SECRET
            + 'password_file = "/p"\n',
            "expected reference and exactly one of",
        ),
        (CMP.replace("http:", "ftp:") + SECRET, "expected an address such as"),
        (CMP.replace('"gw"', '""') + SECRET, "reference"),
        (CMP + SECRET + 'recipient = "Mail CA"', 'expected a name such as "CN=Mail CA,O=Example"'),
        (FILES + 'outbox = "/srv/a"\ninbox = "/srv/a"\n', "inbox: is the outbox, too"),
        (FILES + 'outbox = "/srv/a"\n', "inbox"),
        (EST.replace("kind =", 'caa = "https://ca"\nkind ='), "caa: expected a domain name"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """What is wrong shows only when the first certificate is to be had."""
    with pytest.raises(ConfigError) as error:
        read(text)
    assert said in str(error.value)
