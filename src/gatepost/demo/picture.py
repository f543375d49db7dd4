"""An exchange as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.demo.exchange import Exchange
from gatepost.demo.wire import dialogue

NOT_SHOWN = "(Nothing of the message is shown: it cannot be opened.)"
NOTHING = "(No mail came.)"
ICONS = {"valid": "✔", "invalid": "✘", "waiting": "…"}


def picture(exchange: Exchange) -> dict[str, Any]:
    """Values JSON can carry; every text is shown as text, never as HTML."""
    kind, words = _badge(exchange)
    return {
        "id": exchange.number,
        "label": exchange.label,
        "icon": ICONS[kind],
        "author": {"name": exchange.author.name, "address": exchange.author.address},
        "reader": {"name": exchange.reader.name, "address": exchange.reader.address},
        "written": {"subject": exchange.subject, "text": exchange.text},
        "refused": f"{exchange.author.name} is told at once: {exchange.reply}"
        if exchange.refused
        else "",
        "summary": f"{len(exchange.octets):,} octets between the gateways"
        if exchange.wire or exchange.refused
        else "",
        "sees": _sees(exchange),
        "wire": dialogue(exchange.wire),
        "badge": {"kind": kind, "text": words},
        "read": {
            "subject": exchange.read_subject,
            "text": exchange.read_text or _instead(exchange),
        },
        "results": f"Authentication-Results: {exchange.results}" if exchange.results else "",
        "layers": _layers(exchange),
        "decision": exchange.decision,
    }


def _instead(exchange: Exchange) -> str:
    if exchange.refused:
        return NOTHING
    return NOT_SHOWN if exchange.arrived else ""


def _badge(exchange: Exchange) -> tuple[str, str]:
    author = exchange.author.name
    if exchange.refused:
        return "invalid", "✘ Never sent: nothing left the house in clear text"
    if exchange.arrived is None:
        return "waiting", "… on its way"
    if any(layer.get("opened") is False for layer in exchange.layers):
        return "invalid", "✘ Changed on the way, so it was not opened"
    if exchange.verdict == "pass":
        secrecy = ", and nobody else could read it" if exchange.was_encrypted else ""
        return "valid", f"✔ From {author}, unchanged{secrecy}"
    if exchange.verdict == "fail":
        return "invalid", "✘ Signature invalid: changed on the way"
    return "waiting", f"No valid signature ({exchange.verdict})"


def _sees(exchange: Exchange) -> str:
    if not exchange.wire:
        return "Nothing crossed the wire." if exchange.refused else ""
    if exchange.text.encode() in exchange.octets:
        return (
            "Eve can read this mail: it is signed, but not encrypted. She cannot change it unseen."
        )
    if exchange.subject.removeprefix("[secure] ").encode() in exchange.octets:
        return "Eve sees who writes to whom, when, the subject and the size, but not the text."
    return "Eve sees who writes to whom, when, and the size, but neither the subject nor the text."


def _layers(exchange: Exchange) -> list[dict[str, object]]:
    shown = [_layer(layer) for layer in exchange.layers]
    if exchange.read_text:
        size = len(exchange.read_text.encode())
        shown.append(
            {"name": "the message itself", "detail": f"{size} octets of text", "good": True}
        )
    return shown


def _layer(layer: Mapping[str, Any]) -> dict[str, object]:
    name = str(layer.get("layer"))
    if layer.get("opened") is False:
        return {"name": name, "detail": "; ".join(layer["reasons"]), "good": False}
    if "cipher" in layer:
        proof = "proves itself unchanged" if layer["authenticated"] else "signature inside"
        keys = ", ".join(layer["emails"]) or "the recipient"
        detail = f"{layer['cipher']}, {proof}; opened with the key of {keys}"
        return {"name": name, "detail": detail, "good": True}
    signers = "; ".join(
        f"{one['signer']}, {one['scheme']} with {one['digest']}" for one in layer.get("signers", ())
    )
    reasons = "; ".join(layer.get("reasons", ()))
    verdict = layer.get("verdict", "")
    detail = " — ".join(part for part in (str(verdict), signers, reasons) if part)
    return {"name": name, "detail": detail, "good": verdict == "valid"}
