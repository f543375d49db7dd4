"""What may be learned from arriving mail, and what its sender only wants us to believe."""

from dataclasses import replace

from tests.pki_builder import root
from tests.world import ANCHORS, NOW, THEIRS, drive, facts, incoming, only, person

from gatepost.flow import inbound
from gatepost.flow.harvest import learned
from gatepost.mime import headers
from gatepost.smime.sign import sign

BOB, ALICE = "bob@partner.example", "alice@xyz.example"
MAIL = f"From: Bob <{BOB}>\nTo: {ALICE}\nSubject: Figures\n\nThe figures.\n"


def test_nothing_that_was_only_added_on_the_way() -> None:
    """Junk in his name, put into Bob's mail on the way, would crowd out his certificate.

    What comes with a signature is not signed, and a directory looks at so many candidates only.
    """
    junk = [root(f"Eve {n}").user(BOB, kind="p256") for n in range(3)]
    message = incoming(MAIL, ALICE)
    header, body = sign(
        message.header,
        message.body,
        person(BOB).signer,
        now=NOW,
        names=iter("abc").__next__,
        extra=[one.certificate for one in junk],
    )
    arrived = replace(message, header=header, body=body)
    outcome = only(drive(arrived, inbound.STAGES, facts(anchors={THEIRS: ANCHORS})))
    subject = headers.first(outcome.message.header, "Subject")
    assert subject is not None
    assert subject.text == "[signed] Figures"
    assert only(learned(outcome.message.findings)).certificates == (person(BOB).certificate,)
