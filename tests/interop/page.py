"""docs/interop.md, from the cases tried and from what each peer is known to lack.

The tests prove that every cell is as the lists here say; the page only renders them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.case import DIRECTIONS, TABLES, Case, Direction, applies
from tests.interop.expected import PEERS, Lack, lack

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "interop.md"

_HEAD = """# Interoperability

What we write is read by other people's programs, and what they write is read by us: every cell below is a test (`make interop`), and plaintexts are compared, not exit codes. `scripts/make-interop` runs them all and writes this page.

- **✔** works in both forms (clear and opaque), for every recipient.
- **–** the peer cannot; the number tells why. The refusal itself is tested too: a peer that learns to do more makes its test fail.
- **?** nobody could try, for the reason given.

Beside the programs of Debian stable stand the newest ones of its next release (`scripts/install-newer-peers`).

"""

_TITLES: dict[Direction, str] = {"ours": "We write, they read", "theirs": "They write, we read"}

_TRAPS = """## What to know of each peer

**OpenSSL**

- `openssl cms -decrypt` may print garbage and exit with 0 when the key is wrong: PKCS #1 v1.5 must not tell, and CBC cannot.
- Without `-keyopt`, it agrees on keys by ECDH with a KDF over SHA-1, which we read and report.
- `-keyopt` belongs to the `-recip` or `-signer` before it, and one that does not suit the key ends the run.
- 3.6 offers X25519 and X448 in CMS, and fails inside its own key exchange, as writer and as reader.
- With a password, it takes the content's cipher for the password's key as well: choose CBC.
- It verifies a message whose signer uses a digest that `digestAlgorithms` does not name as broken: always name it.

**gpgsm**

- It takes RSASSA-PSS only with a salt as long as the digest, and makes no PSS itself.
- It has no RSAES-OAEP and reads no AuthEnvelopedData, not even OpenSSL's or BouncyCastle's: to its users send PKCS #1 v1.5 and AES-CBC.
- 2.2 wants keyEncipherment in a certificate for key agreement and derives another key by ECDH than everybody else: RSA only.
- 2.4 writes X25519 with OpenPGP's octet 0x40 before the key, under id-ecPublicKey and with the KDF of X9.63 where RFC 8418 has HKDF; we read it.
- 2.2 dies of PKCS #12 files with curve keys.
- It refuses a signature beside which an OCSP answer stands (RFC 5940), and NSS does: enclose lists or nothing.
- It marks a signature good whose path it does not trust: only VALIDSIG together with TRUST_FULLY counts.

**NSS** (Thunderbird)

- It gives up on a whole message for one recipient of a kind it does not know, even when another is its own: 3.87 for any key agreement, 3.132 for ML-KEM. Send to such correspondents separately.
- 3.87 has no OAEP, no ECDH and no AuthEnvelopedData in CMS; 3.132 has all of them.
- `cmsutil` chooses the cipher, the KDF and the transport by the recipient's key and has no options for them.
- Certificates with the same subject get in each other's way in one database.

**BouncyCastle**

- 1.72 opens AuthEnvelopedData by RSA only; ECDH, X25519 and ML-KEM came later.
- By default it derives the key for ML-KEM with KDF3 of X9.44, not with HKDF as RFC 9936 wants; we read both, OpenSSL 3.6 only HKDF.
- Everything it writes has indefinite lengths.

## Not in these tables

- ML-KEM-512: the library we build on does not have it.
- Ed448 and CCM are read, and never written.
"""


def render(versions: Mapping[str, str]) -> str:
    """The whole page for these versions of the peers."""
    reasons: list[str] = []
    tables = [
        _section(direction, title, cases, reasons)
        for direction in DIRECTIONS
        for title, cases in TABLES.items()
    ]
    told = "".join(f"{number}. {why}\n" for number, why in enumerate(reasons, 1))
    peers = "".join(f"| {name} | {versions[name]} |\n" for name in PEERS)
    return (
        f"{_HEAD}| peer | version |\n|---|---|\n{peers}\n"
        + "\n".join(one for one in tables if one)
        + f"\n## Reasons\n\n{told}\n{_TRAPS}"
    )


def versions(text: str) -> dict[str, str]:
    """The versions a page tells of."""
    found = re.findall(r"^\| ([\w-]+) \| (.+) \|$", text, re.MULTILINE)
    return {name: version for name, version in found if name in PEERS}


def _section(direction: Direction, title: str, cases: Sequence[Case], reasons: list[str]) -> str:
    shown = [case for case in cases if applies(case, direction)]
    lines = [f"| {' | '.join(('', *PEERS))} |", "|---|" + ":-:|" * len(PEERS)]
    for case in shown:
        cells = (_cell(lack(peer, direction, case), peer, reasons) for peer in PEERS)
        lines.append(f"| {case.name} | {' | '.join(cells)} |")
    return f"## {_TITLES[direction]}: {title.lower()}\n\n" + "\n".join(lines) + "\n"


def _cell(found: Lack | None, peer: str, reasons: list[str]) -> str:
    if found is None:
        return "✔"
    told = f"{peer.partition('-')[0]}: {found.why}"
    if told not in reasons:
        reasons.append(told)
    return f"{'?' if found.untested else '–'} {reasons.index(told) + 1}"
