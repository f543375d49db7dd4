import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import Malformed
from gatepost.smtp.scram import ClientProof, ServerProof, Verifier, prepared

# RFC 7677 section 3.
_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
_CHALLENGE = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
_SIGNATURE = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_published_exchange() -> None:
    """Nobody else's SCRAM understands ours."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    server = ServerProof("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    assert server.receive(_FIRST) == "user"
    assert server.challenge(Verifier.of("pencil", salt, 4096)) == _CHALLENGE
    assert server.judge(_FINAL) == _SIGNATURE
    client = ClientProof("user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    assert client.first() == _FIRST
    assert client.prove(_CHALLENGE) == _FINAL
    assert not client.is_assured
    client.check(_SIGNATURE)
    assert client.is_assured


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_both_sides(name: str, password: str, other: str) -> None:
    """A right password is refused, or a wrong one accepted."""
    try:
        known = Verifier.of(password, b"salt", 4096)
        prepared(other)
        client = ClientProof(name, other, "abc")
        same = prepared(password) == prepared(other)
    except Malformed:
        return
    if not prepared(name):
        return
    server = ServerProof("xyz")
    assert server.receive(client.first()) == prepared(name)
    final = server.judge(client.prove(server.challenge(known)))
    assert (final is not None) is same
    assert known.accepts(other) is same
    if final is not None:
        client.check(final)


@pytest.mark.parametrize(
    "first",
    [b"", b"n,,", b"p=tls-unique,,n=a,r=b", b"n,a=root,n=a,r=b", b"n,,n=,r=b", b"n,,n=a,r=", b"\xff",
     b"n,,n=a=b,r=c", b"n,,m=x,n=a,r=b", b"n,,n=a,r=" + b"r" * 300],
)  # fmt: skip
def test_malformed_beginnings(first: bytes) -> None:
    """A client acts for somebody else, or crashes the server."""
    with pytest.raises(Malformed):
        ServerProof("x").receive(first)


@pytest.mark.parametrize(
    "final",
    [b"", b"c=biws,r=abcxyz", b"c=biws,r=other,p=AAAA", b"c=eSws,r=abcxyz,p=AAAA",
     b"c=biws,r=abcxyz,p=AAAA", b"c=biws,r=abcxyz,p=!"],
)  # fmt: skip
def test_malformed_ends(final: bytes) -> None:
    """A proof made for another session or channel is accepted."""
    server = ServerProof("xyz")
    server.receive(b"n,,n=a,r=abc")
    server.challenge(Verifier.decoy("a", b"k"))
    with pytest.raises(Malformed):
        server.judge(final)


@pytest.mark.parametrize(
    "challenge",
    [b"", b"r=abc,s=c2FsdA==,i=4096", b"r=other,s=c2FsdA==,i=4096", b"r=abcx,s=!,i=4096",
     b"r=abcx,s=c2FsdA==,i=1", b"r=abcx,s=c2FsdA==,i=999999999"],
)  # fmt: skip
def test_hostile_servers(challenge: bytes) -> None:
    """A server makes guessing our password cheap, or burns our processor."""
    with pytest.raises(Malformed):
        ClientProof("a", "b", "abc").prove(challenge)


def test_an_impostor_is_noticed() -> None:
    """A server that does not know the password is believed."""
    client = ClientProof("a", "b", "abc")
    with pytest.raises(Malformed):
        client.check(b"v=")
    client.prove(b"r=abcx,s=c2FsdA==,i=4096")
    with pytest.raises(Malformed):
        client.check(b"v=" + b"A" * 43 + b"=")


def test_verifiers_as_text() -> None:
    """An account's line in the configuration is misread."""
    one = Verifier.of("secret", b"saltsaltsalt", 4096)
    assert Verifier.parse(str(one)) == one
    assert "stored" not in repr(one)
    for text in ("", "secret", str(one)[:-9], "SCRAM-SHA-1$1:YQ==$YQ==:YQ=="):
        with pytest.raises(Malformed):
            Verifier.parse(text)
    for iterations in ("0", "1000001", "999999999"):  # nobody's log-in is to take minutes
        with pytest.raises(Malformed, match="iterations"):
            Verifier.parse(str(one).replace("4096", iterations))


def test_decoys() -> None:
    """Who asks for names learns which exist."""
    one, again = Verifier.decoy("a", b"k"), Verifier.decoy("a", b"k")
    assert one == again
    assert one != Verifier.decoy("b", b"k")
    assert not one.accepts("")


def test_preparation() -> None:
    """A password typed on another keyboard is another password (RFC 4013)."""
    assert prepared("I\u00adX") == "IX"
    assert prepared("\u2168") == "IX"
    assert prepared("a\u00a0b") == "a b"
    for bad in ("\u0007", "\u0627\u0031", "a\u200eb\u2028"):
        with pytest.raises(Malformed):
            prepared(bad)
