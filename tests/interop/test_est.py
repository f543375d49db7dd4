"""BouncyCastle's EST client against the server that ours is tested with.

If only our own client got on with that server, both could be wrong in the same way.
"""

from pathlib import Path

import pytest
from tests.interop.peers.bouncycastle import class_path
from tests.interop.peers.shape import run
from tests.peers.est_server import EstServer
from tests.unit.enrol.asking import wanted

from gatepost.cms import der
from gatepost.enrol.file import written

SOURCE = Path(__file__).parent / "java" / "EstClient.java"


@pytest.mark.peer("openssl", "java", "javac")
def test_another_client(tmp_path: Path) -> None:
    """Our client speaks a dialect that no server but the tests' understands.

    Not asked for here is "not yet": version 1.72 fails on a 202 that has a text.
    """
    (tmp_path / "request.pem").write_text(written(wanted().request))
    words = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path(Path("/")), SOURCE)
    with EstServer(tmp_path / "est", {"gatepost": "sesame"}) as server:
        server.attributes = der.sequence(der.oid("1.2.840.10045.4.3.2"))
        where = server.url.removeprefix("https://")
        asked = (where, server.authority.root, "gatepost", "sesame", "request.pem")
        said = run("java", *words, *asked, folder=tmp_path)
    assert sorted(said.decode().splitlines()) == [
        "authority O=Peer,CN=Peer Issuing",
        "authority O=Peer,CN=Peer Root",
        "issued CN=alice@example.com",
        "wants 1.2.840.10045.4.3.2",
    ]
