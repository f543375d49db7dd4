"""`gatepost cert`: the certificates of the directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gatepost.cli import file, option, request, show
from gatepost.cli.group import group
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.certificate import Found, Shown
    from gatepost.store.record import Entry

app = group(help="Certificates: list, show, import, export, issue, delete.")

Which = Annotated[str, typer.Argument(help="Fingerprint (its beginning will do) or address.")]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--for", metavar="ADDRESS", help="File it for this address or @domain; may be repeated."
    ),
]


@app.command("list")
def list_(
    text: Annotated[str, typer.Argument(help="Part of a name, address or fingerprint.")] = "",
    limit: Annotated[int, typer.Option(help="Show at most so many.")] = 200,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """List certificates; exit code 1 when there is none."""
    from gatepost.admin import certificate  # noqa: PLC0415

    _show_found(certificate.find(config, text, limit=limit), json=json)


@app.command("show")
def show_(which: Which, config: option.Config = None, *, json: option.Json = False) -> None:
    """Show one certificate and what it can be used for."""
    from gatepost.admin import certificate  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = certificate.show(config, which, utc_now())
    if json:
        show.as_json(found)
    else:
        _show_one(found)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="PEM, DER, PKCS #7 or #12 file.")],
    for_: For = None,
    certificate_file: Annotated[
        list[Path] | None,
        file.BESIDE,
    ] = None,
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    passwords: request.PasswordList = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every key of a folder, a zip archive or a file.")
    ] = False,
    json: option.Json = False,
) -> None:
    """Import certificates, or a private key with its certificate.

    A correspondent's certificate is used for the addresses it names, or those you give
    with --for.  One that answers a request of yours finishes it.  To trust a company's CA,
    use `partner add` instead.

    With --history take in what another gateway or mail server exported: every key opens old
    mail, the newest usable one signs.  Exit code 1 when a file could not be read.
    """
    from gatepost.admin import certificate, credential  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    now = utc_now()
    if history:
        request.import_history(config, path, passwords, now, json=json)
    if credential.is_key_file(path):
        asked = file.passphrase(passphrase_file, f"Passphrase of {path}")
        given = credential.read(path, asked, certificate_file or ())
        found = certificate.take_in_key(config, given, for_ or (), now)
    else:
        certificates = credential.certificates_in(path)
        found = certificate.take_in(config, certificates, for_ or (), now)
    _show_found(found, json=json)


@app.command()
def export(
    which: Annotated[str, typer.Argument(help="Fingerprint, address, or 'ca' for your own CA.")],
    output: file.Output = file.STDIO,
    form: Annotated[
        Literal["pem", "der", "pkcs12"] | None,
        typer.Option(help="Form of the file; PKCS #12 with --with-key, else PEM."),
    ] = None,
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    with_key: Annotated[bool, typer.Option("--with-key", help="Also the private key.")] = False,
    json: option.Json = False,
) -> None:
    """Export a certificate; with --with-key under a passphrase."""
    from gatepost.admin import certificate  # noqa: PLC0415

    if json and output == file.STDIO:
        raise ConfigError("--json and the certificate would mix", hint="--output FILE")
    asked = file.passphrase(passphrase_file, "Passphrase for the file") if with_key else None
    found = certificate.give_out(config, which, form or ("pkcs12" if with_key else "pem"), asked)
    file.write(output, [found.octets], private=with_key)
    if json:
        show.as_json(found)


@app.command()
def issue(
    address: Annotated[str, typer.Argument(help="An address of yours; or with --domain a domain.")],
    kind: Annotated[
        Literal["sign", "encrypt", "both"], typer.Option(help="What it is for.")
    ] = "both",
    config: option.Config = None,
    *,
    domain: Annotated[
        bool, typer.Option("--domain", help="For the whole domain (RFC 3183).")
    ] = False,
    json: option.Json = False,
) -> None:
    """Issue certificates from your own CA.

    They replace the address's current ones.  With --domain one by which mail to everybody
    there is encrypted, and one that signs in the domain's name where the policy says so.
    """
    from gatepost.admin import certificate  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    kinds = certificate.KINDS if kind == "both" else (kind,)
    issued = certificate.issue_domain if domain else certificate.issue
    _show_found(issued(config, address, kinds, utc_now()), json=json)


app.command("request")(request.request)
app.command("pending")(request.pending)
app.command("csr")(request.csr)
app.command("forget")(request.forget)


@app.command()
def revoke(
    which: Which,
    reason: Annotated[
        str, typer.Option(help="keyCompromise, superseded, cessationOfOperation, ….")
    ] = "unspecified",
    config: option.Config = None,
    *,
    new: Annotated[bool, typer.Option("--new", help="Issue its successor at once.")] = False,
    json: option.Json = False,
) -> None:
    """Revoke a certificate of your own CA; mail encrypted to it stays readable.

    The CA's list and OCSP answers say so at once; one from elsewhere is used no more, and its
    authority has to be told.  certificateHold suspends it until `cert release`.  After
    affiliationChanged, cessationOfOperation, privilegeWithdrawn and certificateHold, whatever
    else the address has for the same purpose is used no more either, and nothing is issued to
    it until you say so.
    """
    from gatepost.admin import revocation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _show_found(revocation.revoke(config, which, reason, utc_now(), new=new), json=json)


@app.command()
def release(which: Which, config: option.Config = None, *, json: option.Json = False) -> None:
    """End the suspension of a certificate revoked with certificateHold."""
    from gatepost.admin import revocation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _show_found(revocation.release(config, which, utc_now()), json=json)


@app.command()
def delete(
    which: Which,
    config: option.Config = None,
    *,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Even if its private key is lost with it.")
    ] = False,
    json: option.Json = False,
) -> None:
    """Delete a certificate from the directory."""
    from gatepost.admin import certificate  # noqa: PLC0415

    found = certificate.delete(config, which, with_key=with_key)
    if json:
        show.as_json(found)
    else:
        show.say(f"deleted {found.entries[0].certificate.name}")


Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")]
Fingerprint = Annotated[str, typer.Argument(help="Fingerprint; its beginning will do.")]


@app.command()
def allow(
    which: Fingerprint, reason: Reason, config: option.Config = None, *, json: option.Json = False
) -> None:
    """Trust one certificate of the directory, whoever issued it."""
    _judge(which, reason, config, allowed=True, json=json)


@app.command()
def deny(
    which: Fingerprint, reason: Reason, config: option.Config = None, *, json: option.Json = False
) -> None:
    """Trust one certificate no more, nor what it issued, whatever speaks for it.

    With its whole fingerprint also one that is not here yet.
    """
    _judge(which, reason, config, allowed=False, json=json)


@app.command()
def withdraw(
    which: Fingerprint, config: option.Config = None, *, json: option.Json = False
) -> None:
    """Take `allow` or `deny` back."""
    from gatepost.admin import judgement  # noqa: PLC0415

    found = judgement.withdraw(config, which)
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.fingerprint[:16]} is judged by its path again")


@app.command()
def judged(config: option.Config = None, *, json: option.Json = False) -> None:
    """List certificates that are allowed or denied; exit code 1 when there is none."""
    from gatepost.admin import judgement  # noqa: PLC0415

    found = judgement.judged(config)
    if json:
        show.data([one.as_data() for one in found])
    elif found:
        rows = [
            (one.fingerprint[:16], "allowed" if one.allowed else "denied", one.reason, one.author)
            for one in found
        ]
        show.table(("FINGERPRINT", "WORD", "REASON", "BY"), rows)
    else:
        show.note("no certificate is allowed or denied")
    raise typer.Exit(0 if found else 1)


@app.command()
def accept(
    address: Annotated[str, typer.Argument(help="A correspondent's address.")],
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Accept a correspondent's changed certificate; mail that waits for that goes."""
    from gatepost.admin import judgement  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = judgement.accept(config, address, utc_now())
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.address} is written to with {found.known.fingerprint[:16]}")


def _judge(which: str, reason: str, config: Path | None, *, allowed: bool, json: bool) -> None:
    from gatepost.admin import judgement  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = judgement.judge(config, which, reason, utc_now(), allow=allowed)
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.fingerprint[:16]} is {'allowed' if allowed else 'denied'}")


def _show_found(found: Found, *, json: bool) -> None:
    if json:
        show.as_json(found)
    elif found.entries:
        show.table(
            ("FINGERPRINT", "NAME", "ADDRESSES", "KEY", "FROM", "UNTIL"),
            [_row(one) for one in found.entries],
        )
    else:
        show.note("no certificate")
    for remark in found.remarks:
        show.note(remark)
    raise typer.Exit(0 if found.entries else 1)


def _row(one: Entry) -> tuple[str, ...]:
    addresses = dict.fromkeys(use.address for use in one.uses)
    kind = "CA" if one.certificate.is_authority else ""
    return (
        one.certificate.fingerprint[:16],
        one.certificate.name,
        ", ".join(addresses) or kind,
        one.key_purpose or "",
        ", ".join(dict.fromkeys(use.source for use in one.uses)),
        f"{one.certificate.not_after:%Y-%m-%d}",
    )


def _show_one(found: Shown) -> None:
    one = found.entry.certificate
    show.pairs(
        [
            ("name", one.name),
            ("subject", one.x509.subject.rfc4514_string()),
            ("issuer", one.x509.issuer.rfc4514_string()),
            ("serial", f"{one.serial:x}"),
            ("SHA-256", one.fingerprint),
            ("valid", f"{one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}"),
            ("addresses", ", ".join(one.emails)),
            ("filed for", ", ".join(f"{u.address} ({u.source})" for u in found.entry.uses)),
            ("key usage", ", ".join(sorted(one.key_usage or ()))),
            ("private key", found.entry.key_purpose or "not here"),
        ]
    )
    if one.is_authority:
        return
    path = " ← ".join(each.name for each in reversed(found.path.chain))
    if found.path.trusted:
        show.say(f"trusted: {path}", "good")
    else:
        show.say(f"not trusted: {'; '.join(found.path.reasons)}", "warn")
    for use, reasons in (("sign", found.signing), ("be encrypted to", found.encrypting)):
        if reasons:
            show.say(f"cannot {use}: {'; '.join(reasons)}")
