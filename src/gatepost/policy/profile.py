"""Profiles: settings that go together under a name, for partners who live by a common rule.

A profile only fills what its rule leaves open, and every value it brings is shown as its.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.policy.rules import Profile, Settings
from gatepost.policy.treatment import (
    Cipher,
    Digest,
    Encrypt,
    Form,
    HeaderProtection,
    LeastCipher,
    Sign,
    Signature,
    Transport,
    Unsigned,
    Whose,
)

PROFILES: Mapping[Profile, Settings] = {
    # What every S/MIME program since about 2005 reads.
    Profile.COMPATIBLE: Settings(
        form=Form.CLEAR,
        signature=Signature.PKCS1,
        digest=Digest.SHA256,
        key_transport=Transport.PKCS1,
        cipher=Cipher.AES256_CBC,
        header_protection=HeaderProtection.CLEAR,
    ),
    # RFC 8551 without its concessions: authenticated encryption, no PKCS #1 v1.5, hidden Subject.
    Profile.MODERN: Settings(
        signature=Signature.PSS,
        key_transport=Transport.OAEP,
        least_cipher=LeastCipher.AES128_GCM,
        header_protection=HeaderProtection.BASELINE,
    ),
    # BDEW, "EDI@Energy Regelungen zum Uebertragungsweg", after BSI TR-03116-4: always signed
    # (RSASSA-PSS) and encrypted (RSAES-OAEP), at least AES-128, GCM where it is read, with a
    # certificate for each mail address.  The Subject is the file's name and stays as it is.
    Profile.EDI_ENERGY: Settings(
        sign=Sign.ALWAYS,
        encrypt=Encrypt.MANDATORY,
        signature=Signature.PSS,
        digest=Digest.SHA256,
        key_transport=Transport.OAEP,
        cipher=Cipher.AUTO,
        least_cipher=LeastCipher.AES128_CBC,
        certificate=Whose.PERSONAL,
        header_protection=HeaderProtection.OFF,
        unsigned=Unsigned.DEFER,
    ),
    # gematik gemSMIME_KOMLE: opaque RSASSA-PSS inside authEnveloped-data with AES-256-GCM and
    # RSAES-OAEP.  No KIM client module: it neither wraps the message nor rewrites From.
    Profile.KIM: Settings(
        sign=Sign.ALWAYS,
        encrypt=Encrypt.MANDATORY,
        form=Form.OPAQUE,
        signature=Signature.PSS,
        digest=Digest.SHA256,
        key_transport=Transport.OAEP,
        cipher=Cipher.AES256_GCM,
        header_protection=HeaderProtection.OFF,
        unsigned=Unsigned.DEFER,
    ),
}
MEANINGS: Mapping[Profile, str] = {
    Profile.COMPATIBLE: "what every S/MIME program since about 2005 reads",
    Profile.MODERN: "authenticated encryption, RSA-PSS, RSA-OAEP, hidden Subject",
    Profile.EDI_ENERGY: "German energy market: BDEW, Regelungen zum Übertragungsweg",
    Profile.KIM: "German health care: the algorithms of gematik's KIM (gemSMIME)",
}


def setting(settings: Settings, name: str) -> tuple[object, Profile | None]:
    """The value these settings have under this name, and the profile it comes from if it does."""
    value = getattr(settings, name)
    if value is None and settings.profile is not None:
        value = getattr(PROFILES[settings.profile], name)
        return value, settings.profile if value is not None else None
    return value, None
