from gatepost.smtp.commands import VERBS
from gatepost.smtp.state import OUT_OF_ORDER, TRANSITIONS, State, Verb

LISTENING = [state for state, row in TRANSITIONS.items() if row]


def test_every_command_has_an_answer_in_every_state() -> None:
    """A command at an odd moment crashes the session."""
    for state in LISTENING:
        known = TRANSITIONS[state].keys() | OUT_OF_ORDER[state].keys()
        assert set(Verb) == known
        assert not TRANSITIONS[state].keys() & OUT_OF_ORDER[state].keys()


def test_every_state_is_reached_and_every_one_ends() -> None:
    """A state nobody can leave holds connections for ever."""
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    by_events = {State.CHUNKED}  # the end of a chunk that is not the last
    assert set(State) == reached | by_events
    assert all(State.CLOSED in TRANSITIONS[state].values() for state in LISTENING)


def test_out_of_order_is_never_positive() -> None:
    """A refused command moves the client on."""
    for row in OUT_OF_ORDER.values():
        assert all(reply.is_permanent for reply in row.values())


def test_every_verb_can_be_said() -> None:
    """A command in the tables cannot be reached."""
    assert set(Verb) == set(VERBS.values())
