"""The policy document as JSON Schema (draft 2020-12), for editors and the policy page."""

from __future__ import annotations

from dataclasses import fields

from gatepost.policy.parse import (
    CHOICES,
    MAXIMUM_INBOUND_RULES,
    MAXIMUM_RULES,
    MAXIMUM_TEXT,
    RECEPTIONS,
)
from gatepost.policy.rules import BUILT_IN, NAMES, RECEPTION, InboundPolicy, Tags, Triggers

MEANINGS = {
    "sign": "Whether the author's key signs; domain: the key of his whole domain does (RFC 3183).",
    "encrypt": "Whether the content is encrypted; mandatory refuses mail that cannot be.",
    "profile": "Settings that go together; what else the rule says goes before.",
    "form": "clear: readable without S/MIME; opaque: one part that relays cannot alter; auto is "
    "opaque for encrypted mail to correspondents who sign so themselves, else clear.",
    "signature": "How an RSA key signs; auto is rsa-pss where every recipient is known to read "
    "it, else rsa-pkcs1.",
    "digest": "What is signed by RSA and elliptic keys; auto is sha256, or as strong as the curve.",
    "key_transport": "How keys are wrapped to an RSA key; auto is rsa-oaep where every recipient "
    "is known to read it, else rsa-pkcs1.",
    "cipher": "auto is the best that every recipient is known to read, else aes256-cbc, and "
    "never below `least_cipher`.",
    "least_cipher": "What auto never goes below, even if a recipient announces less.",
    "certificate": "any: a domain's certificate serves those who have none of their own; "
    "personal: only a certificate for the address itself; all: every usable one for the address, "
    "for people who read with several keys.",
    "header_protection": "clear: header fields are signed and encrypted with the text, and stay "
    "readable outside; baseline: the Subject of encrypted mail is hidden outside; off: neither; "
    "auto is baseline where every recipient is known to read RFC 9788, else clear.",
    "unsigned": "When an author of ours has no usable key: defer the mail, or deliver it unsigned.",
    "mixed": "When one recipient cannot be served after the content was seen: refuse the mail "
    "to all, or deliver the rest and report the others.",
    "unencryptable": "Mail that must be encrypted to somebody without usable certificate: refuse "
    "it; let it wait: its author is told, and it is sent once a certificate is known; or send it "
    "in clear, over TLS connections only whose server proves itself (DANE, MTA-STS, verified).",
    "key_change": "A correspondent's certificate by another issuer, with a weaker key, or a second "
    "one from elsewhere: accept it, warn the postmaster, or hold the mail until `gatepost cert "
    "accept ADDRESS` says that it is right.",
    "refuse_at": "When a mandatory recipient without certificate is refused: at rcpt the others "
    "are served; after the data a mail its author has encrypted can still pass.",
}
RECEPTION_MEANINGS = {
    "expect": "What mail of this author is agreed to be: signed (valid, trusted, his own), "
    "encrypted (to us), or both.",
    "unmet": "What becomes of mail that is not so: marked and delivered, or held.",
    "broken_signature": "What becomes of mail whose signature is broken or not its author's.",
    "undecryptable": "What becomes of mail that none of our keys opens.",
    "misdirected": "What becomes of mail whose signed To and Cc name nobody of ours: passed on "
    "by its reader, or a blind copy.",
    "active_content": "neutralise: HTML that could send the text elsewhere becomes an attachment, "
    "where the encryption does not prove it unchanged and nobody has signed it.",
}
Schema = dict[str, object]


def schema() -> Schema:
    """The schema of a policy document."""
    settings: Schema = {
        name: {
            "enum": [str(one) for one in choices],
            **({"default": str(getattr(BUILT_IN, name))} if name in NAMES else {}),
            "description": MEANINGS[name],
        }
        for name, choices in CHOICES.items()
    }
    pattern = _text('An address, a domain, "*.domain" (its subdomains) or "*".', "*")
    rule = _table(
        "Settings for some mail.",
        {"name": _text("Its name."), "to": pattern, "from": pattern, **settings},
    )
    rule["required"] = ["name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gatepost policy",
        **_table(
            "What is signed and encrypted, for whom and how.",
            {
                "defaults": _table("Settings where no rule says otherwise.", settings),
                "triggers": _triggers(),
                "inbound": _inbound(),
                "rule": {"type": "array", "items": rule, "maxItems": MAXIMUM_RULES},
            },
        ),
    }


def _triggers() -> Schema:
    texts: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}
    return _table(
        "What an author writes to make encryption mandatory.",
        {
            "subject": {**texts, "default": list(Triggers().subject)},
            "headers": {**texts, "default": [], "description": '"Name" or "Name: value".'},
        },
    )


def _inbound() -> Schema:
    plain = InboundPolicy()
    receptions: Schema = {
        name: {
            "enum": [str(one) for one in choices],
            "default": str(getattr(RECEPTION, name)),
            "description": RECEPTION_MEANINGS[name],
        }
        for name, choices in RECEPTIONS.items()
    }
    rule = _table(
        "Another reception for mail of some authors.",
        {
            "name": _text("Its name."),
            "from": _text('An address, a domain, "*.domain" or "*".', "*"),
            **receptions,
        },
    )
    rule["required"] = ["name"]
    return _table(
        "How arriving mail is received and shown.",
        {
            **receptions,
            "keep_signature": {
                "type": "boolean",
                "default": plain.keep_signature,
                "description": "Whether a valid signature stays on.",
            },
            "tag_subject": {
                "type": "boolean",
                "default": plain.tag_subject,
                "description": "Whether the Subject says what was found.",
            },
            "keep_evidence": {
                "type": "boolean",
                "default": plain.keep_evidence,
                "description": "Whether mail with a valid signature is kept as it came, sealed, "
                "with chain and verdict: see `gatepost evidence`.",
            },
            "rule": {"type": "array", "items": rule, "maxItems": MAXIMUM_INBOUND_RULES},
            "tags": _table(
                "Put before the subject; an empty text is not put.",
                {one.name: _text("", str(one.default)) for one in fields(Tags)},
            ),
        },
    )


def _table(description: str, properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }


def _text(description: str, default: str | None = None) -> Schema:
    text: Schema = {"type": "string", "maxLength": MAXIMUM_TEXT}
    if description:
        text["description"] = description
    return text if default is None else {**text, "default": default}
