"""Which certificate names count (RFC 9525 section 6.3)."""

import pytest

from gatepost.route.name import matching


@pytest.mark.parametrize(
    ("wanted", "presented", "right"),
    [
        ("mx.a.example", "mx.a.example", True),
        ("MX.a.example.", "mx.A.example", True),
        ("mx.a.example", "*.a.example", True),
        ("mx.b.a.example", "*.a.example", False),  # one label only
        ("a.example", "*.a.example", False),
        ("mx.a.example", "m*.a.example", False),
        ("mx.a.example", "*.*.example", False),
        ("example", "*", False),
        ("a.example", "*.example", False),  # nobody owns everything below a top-level domain
        ("mx.a.example", "mx.a.example.evil.test", False),
        ("mx.a.example", "evil-mx.a.example", False),
        (".a.example", "mx.a.example", True),
        (".a.example", "*.a.example", True),
        (".a.example", "deep.mx.a.example", True),
        (".a.example", "a.example", False),
        (".a.example", "eva.example", False),
        (".a.example", "m*.a.example", False),
        ("", "", False),
        ("mx.a.example", "mx.ä.example", False),
    ],
)
def test_names(wanted: str, presented: str, right: bool) -> None:
    """An impostor's certificate passes, or the right one does not."""
    assert matching([wanted], [presented]) == (presented if right else None)


def test_any_of_several() -> None:
    """Only the first name of a certificate is looked at."""
    assert (
        matching(["x.example", "mx.a.example"], ["other.example", "mx.a.example"]) == "mx.a.example"
    )
    assert matching([], ["mx.a.example"]) is None
