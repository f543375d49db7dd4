"""`gatepost sign|encrypt|decrypt|verify|inspect`: one message from a file or standard input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gatepost.cli import file, option, show
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.credential import Credential
    from gatepost.admin.inspection import Node
    from gatepost.admin.message import Made
    from gatepost.smime.report import SignatureReport

Message = Annotated[Path, typer.Argument(help="Message; - is standard input.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        "-k",
        metavar="FILE",
        help="PKCS #12 or PEM file with the key; may be repeated.",
        show_default=False,
    ),
]
Beside = Annotated[list[Path] | None, file.BESIDE]
As = Annotated[str, typer.Option("--as", metavar="ADDRESS", help="Use this address's own keys.")]


def sign(  # noqa: PLR0917  one option per decision
    message: Message = file.STDIO,
    key: Keys = None,
    certificate: Beside = None,
    as_: As = "",
    output: file.Output = file.STDIO,
    signature: Annotated[
        Literal["auto", "rsa-pkcs1", "rsa-pss"], typer.Option(help="How an RSA key signs.")
    ] = "auto",
    digest: Annotated[
        str, typer.Option(help="sha256, sha384 or sha512; else what fits the key.")
    ] = "",
    header_protection: Annotated[
        Literal["off", "clear", "baseline"],
        typer.Option(
            help="Sign header fields too; baseline hides the Subject of what you encrypt next."
        ),
    ] = "clear",
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    opaque: Annotated[bool, typer.Option("--opaque", help="signed-data in one part.")] = False,
    json: option.Json = False,
) -> None:
    """Sign a message (multipart/signed, or --opaque)."""
    from gatepost.admin import certificate as certificates  # noqa: PLC0415
    from gatepost.admin import message as operation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    now = utc_now()
    signer = (
        _key(key, certificate, passphrase_file).signer
        if key
        else certificates.signer(config, _address(as_), now)
    )
    made = operation.sign(
        file.read(message),
        signer,
        opaque=opaque,
        signature=signature,
        digest=digest,
        header_protection=header_protection,
        now=now,
    )
    _give(made, output, json=json)


def encrypt(  # noqa: PLR0917
    message: Message = file.STDIO,
    to: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Certificate file; may be repeated.", show_default=False),
    ] = None,
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for", metavar="ADDRESS", help="Certificate from the directory; may be repeated."
        ),
    ] = None,
    output: file.Output = file.STDIO,
    cipher: Annotated[
        Literal["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm"],
        typer.Option(help="Content encryption."),
    ] = "aes256-cbc",
    header_protection: Annotated[
        Literal["off", "clear", "baseline"],
        typer.Option(
            help="Encrypt header fields of unsigned mail too; baseline hides the Subject."
        ),
    ] = "clear",
    config: option.Config = None,
    *,
    oaep: Annotated[bool, typer.Option("--oaep", help="Wrap for RSA keys with OAEP.")] = False,
    json: option.Json = False,
) -> None:
    """Encrypt a message to certificates."""
    from gatepost.admin import certificate, credential  # noqa: PLC0415
    from gatepost.admin import message as operation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    now = utc_now()
    for path in to or ():
        if "@" in path.name and not path.exists():
            raise ConfigError(f"{path} is no file", hint=f"--for {path} looks in the directory")
    found = [one for path in to or () for one in credential.certificates_in(path)[:1]]
    found += [certificate.chosen(config, address, now) for address in for_ or ()]
    if not found:
        raise ConfigError("encrypt to whom?", hint="--to CERTIFICATE-FILE, or --for ADDRESS")
    made = operation.encrypt(
        file.read(message),
        found,
        cipher=cipher,
        oaep=oaep,
        header_protection=header_protection,
        now=now,
    )
    _give(made, output, json=json)


def decrypt(  # noqa: PLR0917
    message: Message = file.STDIO,
    key: Keys = None,
    certificate: Beside = None,
    as_: As = "",
    output: file.Output = file.STDIO,
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Take the outermost encryption off a message."""
    from gatepost.admin import certificate as certificates  # noqa: PLC0415
    from gatepost.admin import message as operation  # noqa: PLC0415

    if key:
        with_keys = [_key([one], certificate, passphrase_file).decryptor for one in key]
        made, report = operation.decrypt(file.read(message), with_keys)
    else:
        own = certificates.decryptors(config, _address(as_))
        made, report = operation.decrypt(file.read(message), own)
    if report.weak or report.suspicions:
        weak = [f"{report.cipher} is weak"] if report.weak else []
        show.note("gatepost: decrypted, but " + "; ".join([*weak, *report.suspicions]))
    _give(made, output, json=json)


def verify(
    message: Message = file.STDIO,
    ca: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Trusted CA; may be repeated.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write what was signed.", show_default=False),
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Verify a message's signature.  Exit code 1 unless it is valid, trusted and the author's."""
    from gatepost.admin import certificate  # noqa: PLC0415
    from gatepost.admin import message as operation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    octets, now = file.read(message), utc_now()
    anchors = certificate.anchors_for(octets, ca or (), config, now)
    known = certificate.signers_for(octets, ca or (), config)
    found = operation.verify(octets, anchors, known=known, now=now)
    if output is not None:
        file.write(output, found.made.chunks())
    if json:
        show.as_json(found)
    else:
        _show_verdict(found.report)
    raise typer.Exit(0 if found.good else 1)


def inspect(  # noqa: PLR0917
    message: Message = file.STDIO,
    key: Keys = None,
    certificate: Beside = None,
    as_: As = "",
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Show the layers of a message, as deep as the keys open."""
    from gatepost.admin import certificate as certificates  # noqa: PLC0415
    from gatepost.admin import inspection  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    octets, now = file.read(message), utc_now()
    if as_:
        found = inspection.inspect(octets, certificates.decryptors(config, as_), now=now)
    else:
        keys = [_key([one], certificate, passphrase_file) for one in key or ()]
        found = inspection.inspect(octets, [one.decryptor for one in keys], now=now)
    if json:
        show.as_json(found)
        return
    show.pairs(found.fields)
    if found.fields:
        show.say()
    _show_node(found.root, "", "")


def _key(
    key: list[Path] | None, certificate: list[Path] | None, passphrase_file: Path | None
) -> Credential:
    from gatepost.admin import credential  # noqa: PLC0415

    path = (key or [Path()])[0]
    return credential.read(
        path, file.passphrase(passphrase_file, f"Passphrase of {path}"), certificate or ()
    )


def _address(address: str) -> str:
    if not address:
        raise ConfigError(
            "with which key?", hint="--key FILE, or --as ADDRESS for a key of the vault"
        )
    return address


def _give(made: Made, output: Path, *, json: bool) -> None:
    if json and output == file.STDIO:
        raise ConfigError(
            "--json and the message would mix", hint="--output FILE takes the message"
        )
    file.write(output, made.chunks())
    if json:
        show.as_json(made)


def _show_verdict(report: SignatureReport) -> None:
    styles: dict[str, show.Style] = {"valid": "good", "valid-untrusted": "warn"}
    words = {
        "valid": "valid, trusted, and the author's",
        "valid-untrusted": "valid, but not trusted",
        "mismatch": "not the author's",
        "invalid": "INVALID",
        "unsupported": "cannot be checked",
        "unsigned": "nobody signed",
    }
    verdict = report.verdict.value
    show.say(words[verdict], styles.get(verdict, "bad"))
    leading = report.leading
    if leading is not None:
        fingerprint = leading.certificate.fingerprint if leading.certificate else ""
        show.pairs(
            [
                ("signer", leading.name),
                ("addresses", ", ".join(leading.emails)),
                ("SHA-256", fingerprint),
                ("algorithm", " ".join(filter(None, (leading.scheme, leading.digest)))),
                ("signed at", show.moment(leading.signing_time)),
                ("path", " ← ".join(one.name for one in reversed(leading.chain))),
            ]
        )
    for reason in report.all_reasons:
        show.say(f"  {reason}")


def _show_node(node: Node, first: str, rest: str) -> None:
    title = f"{node.part} {node.kind}".strip()
    show.line(f"{first}{show.paint(show.clean(title), 'bold')}  {show.size(node.size)}")
    inner = rest + ("│  " if node.children else "   ")
    for text in node.notes:
        show.line(show.paint(f"{inner}{show.clean(text)}", "dim"))
    for child in node.children:
        last = child is node.children[-1]
        _show_node(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
