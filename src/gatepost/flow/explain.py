"""Decisions in words: the one renderer behind `gatepost explain`, the log and the demo page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatepost.flow.decision import CertificateNote, Decision, Done

WORDS = {
    Done.SIGNED_ENCRYPTED: "SIGN + ENCRYPT",
    Done.ENCRYPTED: "ENCRYPT",
    Done.SIGNED: "SIGN",
    Done.CLEAR: "CLEAR TEXT",
    Done.UNCHANGED: "UNCHANGED",
    Done.DELIVERED: "DELIVER",
    Done.HELD: "HOLD",
    Done.WAITING: "WAIT",
    Done.DEFERRED: "TRY LATER",
    Done.REFUSED: "REFUSE",
    Done.ANSWERED: "ANSWER",
}
SHOWN = 8  # characters of a fingerprint: enough to tell certificates apart by eye
WIDTH = 30


def render(decision: Decision) -> str:
    """The decision in a few lines, the outcome first."""
    return "\n".join(_lines(decision))


def _lines(decision: Decision) -> Iterator[str]:
    where = _where(decision)
    outcome = f"{decision.recipient:<{WIDTH}} → {WORDS[decision.done]}"
    yield f"{outcome:<{WIDTH + 20}}  ({where})" if where else outcome
    if decision.observed:
        yield "   monitor mode: so it would be; it passed untouched"
    if decision.reason:
        yield f"   {decision.reason}"
    if decision.certificate:
        yield f"   ✔ certificate  {_certificate(decision.certificate)}"
    if decision.rejected:
        yield "   ✘ rejected     " + " | ".join(_rejected(one) for one in decision.rejected)
    if decision.cipher:
        apart = "  in a message of its own (Bcc)" if decision.apart else ""
        yield f"   content {decision.cipher}  key-wrap {decision.key_transport}{apart}"
    if decision.signer:
        signer = _certificate(decision.signer)
        yield f"   {decision.form} signature {decision.signature}  signer {signer}"
    for note in decision.because:
        yield f"   because {note}"
    for depth, layer in enumerate(decision.layers, start=1):
        yield f"   {depth} {_layer(layer)}"


def _where(decision: Decision) -> str:
    if decision.treatment is None:
        return ""
    treatment = decision.treatment
    asked = treatment.origin("encrypt")
    if asked.source == "author":
        return str(asked)
    if treatment.rule == "defaults":
        return "defaults"
    line = f", line {treatment.line}" if treatment.line else ""
    return f'rule "{treatment.rule}"{line}'


def _certificate(note: CertificateNote) -> str:
    return f"{note.fingerprint[:SHOWN].upper()}…  {note.name}  valid to {note.not_after}"


def _rejected(note: CertificateNote) -> str:
    return f"{note.fingerprint[:SHOWN].upper()}… {note.reason}"


def _layer(layer: Mapping[str, object]) -> str:
    """A line for a layer's report, whatever kind of report it is."""
    kind = layer.get("layer", "layer")
    if "cipher" in layer:
        proof = "proves itself unchanged" if layer.get("authenticated") else "proves nothing itself"
        return f"{kind}  {layer['cipher']}, {proof}"
    if "verdict" in layer:
        signer = layer.get("signer") or "unknown signer"
        return f"{kind}  {layer['verdict']}: {signer}{_reasons(layer)}"
    return f"{kind}{_reasons(layer)}"


def _reasons(layer: Mapping[str, object]) -> str:
    reasons = layer.get("reasons")
    listed = [str(one) for one in reasons] if isinstance(reasons, list) else []
    return f" ({'; '.join(listed)})" if listed else ""
