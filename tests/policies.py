"""Policies as Hypothesis strategies: every form one can have."""

from dataclasses import fields

from hypothesis import strategies as st

from gatepost.mail.address import Mailbox
from gatepost.policy.parse import CHOICES, RECEPTIONS
from gatepost.policy.pattern import Pattern
from gatepost.policy.rules import (
    HeaderTrigger,
    InboundPolicy,
    InboundRule,
    Policy,
    Reception,
    Rule,
    Settings,
    Tags,
    Triggers,
)

LOCALS = ("alice", "bob")
DOMAINS = ("xyz.example", "partner.example", "a.partner.example", "b.a.partner.example")
MAILBOXES = st.builds(Mailbox, st.sampled_from(LOCALS), st.sampled_from(DOMAINS))

PATTERNS = st.one_of(
    st.just("*"),
    st.sampled_from(DOMAINS),
    st.sampled_from(DOMAINS).map(lambda domain: f"*.{domain}"),
    MAILBOXES.map(str),
).map(Pattern.parse)
SETTINGS = st.builds(
    Settings,
    **{name: st.none() | st.sampled_from(list(choices)) for name, choices in CHOICES.items()},
)
# Printable, with whatever TOML, JSON or a regular expression could trip over.
TEXTS = st.text("abz [](){}:=#\"'\\.,|*+?^$-_/<>&;@üß漢🔒", max_size=12).map(str.strip)
NAMES = TEXTS.map(lambda text: text or "x")
RULES = st.lists(
    st.builds(Rule, NAMES, PATTERNS, PATTERNS, SETTINGS),
    max_size=8,
    unique_by=lambda rule: rule.name,
).map(tuple)
RECEPTION = st.builds(
    Reception,
    **{name: st.none() | st.sampled_from(list(choices)) for name, choices in RECEPTIONS.items()},
)
INBOUND = st.builds(
    InboundPolicy,
    RECEPTION,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.builds(Tags, *[TEXTS] * len(fields(Tags))),
    st.lists(
        st.builds(InboundRule, NAMES, PATTERNS, RECEPTION),
        max_size=3,
        unique_by=lambda rule: rule.name,
    ).map(tuple),
)
TRIGGERS = st.builds(
    Triggers,
    st.lists(NAMES, max_size=3).map(tuple),
    st.lists(
        st.builds(HeaderTrigger, st.sampled_from(["X-Encrypt", "Sensitivity"]), TEXTS), max_size=2
    ).map(tuple),
)
POLICIES = st.builds(Policy, SETTINGS, RULES, INBOUND, TRIGGERS)
USUAL = st.builds(Policy, SETTINGS, RULES, INBOUND)  # [secure] forces encryption
