"""Errors an administrator can act upon."""

import pytest

from gatepost.errors import ConfigError
from gatepost.mail.address import Mailbox
from gatepost.policy.compose import compose
from gatepost.policy.evaluate import evaluate
from gatepost.policy.parse import parse
from gatepost.policy.rules import Fault, HeaderTrigger, Policy
from gatepost.policy.treatment import Encrypt

FULL = """# a comment
[defaults]
sign = "always"
encrypt = "when-possible"

[triggers]
subject = [
  "[secure]",   # the usual one
  "[geheim]",
]
headers = ["Sensitivity: Company-Confidential", "X-Encrypt"]

[inbound]
broken_signature = "hold"
undecryptable = "deliver"
keep_signature = true
tag_subject = true

[inbound.tags]
signed = "[ok]"
encrypted = ""

[[rule]]
name = "Partners"
to = "*.partner.example"
from = "xyz.example"
encrypt = "mandatory"
cipher = "aes256-gcm"
"""


def test_reads_everything() -> None:
    """A documented setting has no effect."""
    policy = parse(FULL)
    assert policy.triggers.subject == ("[secure]", "[geheim]")
    assert policy.triggers.headers[0] == HeaderTrigger("Sensitivity", "Company-Confidential")
    assert policy.inbound.reception.broken_signature is Fault.HOLD
    assert policy.inbound.keep_signature
    assert policy.inbound.tags.signed == "[ok]"
    assert policy.inbound.tags.encrypted == ""
    assert policy.rules[0].settings.encrypt is Encrypt.MANDATORY
    assert policy.rules[0].line == 23


def test_composes_what_it_read() -> None:
    """Exporting and applying a policy changes it."""
    policy = parse(FULL)
    assert parse(compose(policy)) == policy
    assert compose(Policy()) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[defaults]\nencript = "mandatory"', "line 2, defaults.encript: unknown key"),
        ('[defaults]\nencript = "mandatory"', "did you mean 'encrypt'?"),
        ('[defaults]\n\nencrypt = "mandatry"', "line 3, defaults.encrypt: 'mandatry' is not"),
        ('[defaults]\nencrypt = "mandatry"', "mandatory, when-possible or never"),
        ('[defaults]\nencrypt = "mandatry"', "did you mean 'mandatory'?"),
        ("[defaults]\nencrypt = true", "True is not allowed"),
        ('[rule]\nname = "a"', "line 1, rule: rules are written [[rule]]"),
        ("rule = [1]", "line 1, rule[1]: a rule is a table"),
        ('[[rule]]\nto = "a.example"', "line 1, rule[1]: a rule needs a name"),
        ('[[rule]]\nname = "a"\nto = "a b"', "line 3, rule[1].to: 'a b' is neither"),
        (
            '[[rule]]\nname = "a"\n[[rule]]\nname = "a"',
            "line 4, rule[2].name: 'a' is the name of the rule in line 1",
        ),
        ("[inbound]\nkeep_signature = 1", "line 2, inbound.keep_signature: 1 is not allowed"),
        ('[inbound]\nundecryptable = "drop"', "use deliver, hold or quarantine"),
        ('[inbound.tags]\nsigned = "a\\nb"', "printable"),
        ('[triggers]\nheaders = ["a b"]', "is not a header field"),
        ("[triggers]\nsubject = [1]", "write a list of texts"),
        ('[defauts]\nsign = "never"', "line 1, defauts: unknown key"),
        ("[defaults\n", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("\n" + "a." * 5000 + "a = 1", "line 2: a key has too many parts"),
    ],
)
def test_errors_name_line_key_and_remedy(text: str, expected: str) -> None:
    """An administrator searches a long file for a typing error."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "policy.toml")
    assert str(caught.value).startswith("policy.toml")
    assert expected in str(caught.value)


def test_defaults_count_below_every_rule() -> None:
    """A rule for everybody cannot override the defaults."""
    text = '[defaults]\nencrypt = "never"\n[[rule]]\nname = "a"\nencrypt = "mandatory"'
    assert evaluate(parse(text), None, Mailbox.parse("a@b.example")).encrypt is Encrypt.MANDATORY
