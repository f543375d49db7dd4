"""Evaluate a policy for one author and one recipient; the order is told in `policy.rules`.

Rules are indexed by what they speak of, and equal sets of matching rules share one
`Treatment`, so a question costs a few dictionary look-ups however many rules there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from gatepost.mail.address import Mailbox
from gatepost.policy.pattern import keys
from gatepost.policy.profile import setting
from gatepost.policy.rules import BUILT_IN, NAMES, Policy, Rule
from gatepost.policy.treatment import Encrypt, Origin, Treatment

MAXIMUM_REMEMBERED = 4096


def evaluate(
    policy: Policy, author: Mailbox | None, recipient: Mailbox, *, tagged: bool = False
) -> Treatment:
    """What the policy wants; `tagged`: the author asked for encryption in this message."""
    return policy.index.treatment(policy, author, recipient, tagged=tagged)


def certainly_mandatory(policy: Policy, recipient: Mailbox) -> bool:
    """Whether encryption to this recipient is mandatory whoever the author may turn out to be.

    At RCPT the author is not known yet (RFC5322.From comes with the data), so only a
    wish that no author-specific rule could soften may be acted upon.
    """
    for rule in policy.index.speaking_of(policy, recipient):
        encrypt, _ = setting(rule.settings, "encrypt")
        if encrypt is None:
            continue
        if encrypt is not Encrypt.MANDATORY:
            return False
        if rule.from_.kind == "everybody":
            return True
    return (setting(policy.defaults, "encrypt")[0] or BUILT_IN.encrypt) is Encrypt.MANDATORY


@dataclass(frozen=True, slots=True)
class Index:
    """Rule positions by `to` key, then `from` key; later rules first."""

    positions: Mapping[str, Mapping[str, tuple[int, ...]]]
    remembered: dict[tuple[tuple[int, ...], bool], Treatment] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def of(cls, policy: Policy) -> Index:
        """Index the rules of a policy."""
        found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for position, rule in enumerate(policy.rules):
            found[rule.to.key][rule.from_.key].insert(0, position)
        return cls({to: {by: tuple(all_) for by, all_ in row.items()} for to, row in found.items()})

    def treatment(
        self, policy: Policy, author: Mailbox | None, recipient: Mailbox, *, tagged: bool
    ) -> Treatment:
        """The treatment for this pair, remembered by the rules that matched."""
        matching = tuple(self._matching(author, recipient))
        found = self.remembered.get((matching, tagged))
        if found is None:
            found = _resolve(policy, tuple(policy.rules[one] for one in matching), tagged=tagged)
            if len(self.remembered) >= MAXIMUM_REMEMBERED:
                self.remembered.clear()
            self.remembered[matching, tagged] = found
        return found

    def speaking_of(self, policy: Policy, recipient: Mailbox) -> Iterator[Rule]:
        """Rules for this recipient from anybody, those for the most specific `to` first.

        Within one `to` the order of authors does not matter to the only caller, except
        that rules for everybody come last.
        """
        for to in keys(recipient):
            row = self.positions.get(to, {})
            for by, positions in row.items():
                if by != "*":
                    yield from (policy.rules[one] for one in positions)
            yield from (policy.rules[one] for one in row.get("*", ()))

    def _matching(self, author: Mailbox | None, recipient: Mailbox) -> Iterator[int]:
        senders = keys(author)
        for to in keys(recipient):
            row = self.positions.get(to)
            if row:
                for by in senders:
                    yield from row.get(by, ())


def _resolve(policy: Policy, matching: tuple[Rule, ...], *, tagged: bool) -> Treatment:
    origins = tuple(_origin(policy, matching, name) for name in NAMES)
    first = matching[0] if matching else None
    treatment = Treatment.of(
        {one.setting: one.value for one in origins},
        first.name if first else "defaults",
        first.line if first else 0,
        origins,
    )
    return _forced(treatment) if tagged else treatment


def _origin(policy: Policy, matching: tuple[Rule, ...], name: str) -> Origin:
    for rule in matching:
        value, profile = setting(rule.settings, name)
        if value is not None:
            return Origin(name, str(value), "rule", rule.name, rule.line, profile or "")
    value, profile = setting(policy.defaults, name)
    if value is not None:
        return Origin(name, str(value), "defaults", profile=profile or "")
    return Origin(name, str(getattr(BUILT_IN, name)), "built-in")


def _forced(treatment: Treatment) -> Treatment:
    if treatment.encrypt is Encrypt.MANDATORY:
        return treatment
    forced = Origin("encrypt", Encrypt.MANDATORY.value, "author")
    return replace(
        treatment,
        encrypt=Encrypt.MANDATORY,
        origins=tuple(forced if one.setting == "encrypt" else one for one in treatment.origins),
    )
