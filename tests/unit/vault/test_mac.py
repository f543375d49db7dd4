"""Codes under the vault's key."""

from gatepost.vault.kek import Kek
from gatepost.vault.mac import Mac

KEK = Kek(bytes(range(32)))


def test_one_code_for_one_purpose_and_key() -> None:
    """What one node vouches for another does not know, or what stands for one thing for another."""
    code = Mac(KEK, "trace")(b"data")
    assert code == Mac(Kek(KEK.key), "trace")(b"data")
    others = {Mac(KEK, "queue")(b"data"), Mac(Kek(bytes(32)), "trace")(b"data")}
    assert code not in others | {Mac(KEK, "trace")(b"date")}
    assert KEK.key.hex() not in repr(Mac(KEK, "trace"))
