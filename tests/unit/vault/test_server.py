"""The key process's door against whoever talks nonsense, hangs, or comes in crowds."""

import os
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.patience import PATIENCE, until
from tests.unit.vault.door import Door, desk, door

from gatepost.errors import Malformed
from gatepost.vault import server as server_module
from gatepost.vault.frame import LARGEST, MOST, Frame, Line, Word

FRAMES = st.builds(
    Frame, st.sampled_from(Word), st.lists(st.binary(max_size=200), max_size=MOST).map(tuple)
)
WORKS = Frame(Word.SUBKEY, (b"queue",)).octets()


def works(made: Door) -> bool:
    """Whether somebody else is served."""
    with made.connect() as line:
        try:
            asking = Line(line)
            asking.say(WORKS, 5)
            answer = asking.hear(PATIENCE)
        except ConnectionError:
            return False
        return answer is not None and answer.word is Word.DONE


@given(FRAMES)
def test_frames_come_back(frame: Frame) -> None:
    """A worker and the key process would misunderstand each other."""
    octets = frame.octets()
    assert Frame.parse(octets[4:]) == frame
    assert struct.unpack(">I", octets[:4]) == (len(octets) - 4,)


@given(st.binary(max_size=300))
def test_no_frame_but_malformed(octets: bytes) -> None:
    """Garbage could end a thread of the key process with an error nobody expects."""
    try:
        parsed = Frame.parse(octets)
    except Malformed:
        return
    assert parsed.octets()[4:] == octets


@given(st.sampled_from(Word), st.lists(st.binary(max_size=100), max_size=MOST).map(tuple))
def test_any_question_has_an_answer(word: Word, fields: tuple[bytes, ...]) -> None:
    """A question of the right form could end the key process, or make it talk."""
    answer = desk()
    try:
        said = answer(Frame(word, fields))
    except Malformed:
        return
    assert said.word in {
        Word.DONE, Word.UNAVAILABLE, Word.BROKEN, Word.WRONG, Word.FORGOTTEN
    }  # fmt: skip
    if said.word is Word.DONE:
        assert word is Word.MAKE


NONSENSE = {
    "another version": b"\0\0\0\2\2\7",
    "no word": b"\0\0\0\2\1\0",
    "an answer": Frame(Word.DONE, (b"x",)).octets(),
    "too long": struct.pack(">I", LARGEST + 1),
    "too short": struct.pack(">I", 1) + b"\1",
    "field behind the end": b"\0\0\0\6\1\7\0\0\0\1",
    "half a length": b"\0\0\0\4\1\7\0\0",
    "too many fields": struct.pack(">IBB", 2 + 4 * (MOST + 1), 1, Word.SUBKEY)
    + bytes(4 * MOST + 4),
    "two at once": WORKS + WORKS,
    "wrong number of fields": Frame(Word.SIGN, (b"x",)).octets(),
    "no such sub-key": Frame(Word.SUBKEY, (b"private keys",)).octets(),
    "not UTF-8": Frame(Word.SUBKEY, (b"\xff",)).octets(),
    "a digest nobody knows": Frame(Word.SIGN, (b"", b"ecdsa", b"crc32", b"", b"")).octets(),
    "a salt that is none": Frame(Word.SIGN, (b"", b"ecdsa", b"sha256", b"-1", b"")).octets(),
    "SMTP": b"EHLO localhost\r\n",
}


@pytest.mark.parametrize("octets", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_hung_up_on(octets: bytes) -> None:
    """A process that speaks another language could wear the key process out."""
    with door() as made:
        made.open(desk())
        with made.connect() as line:
            line.settimeout(PATIENCE)
            line.sendall(octets)
            assert line.recv(100) == b""
        assert works(made)


def test_who_hangs_holds_nobody() -> None:
    """One worker that stops in the middle of a question would stop every other."""
    with door() as made:
        server = made.open(desk(), patience=0.2)
        hanging = [made.connect() for _ in range(8)]
        for number, line in enumerate(hanging):
            line.sendall(WORKS[:number])
        assert works(made)
        for line in hanging[1:]:
            line.settimeout(PATIENCE)
            assert line.recv(1) == b""  # its time was over
        hanging[0].sendall(WORKS)  # had asked nothing yet
        assert Line(hanging[0]).hear(PATIENCE) is not None
        for line in hanging:
            line.close()
        until(lambda: server.clients == 0)


def test_who_does_not_listen_holds_nobody() -> None:
    """A worker that takes no answer would keep a thread for ever."""
    done = threading.Event()

    def answer(_: Frame) -> Frame:
        done.set()
        return Frame(Word.DONE, (bytes(LARGEST - 6),))

    with door() as made:
        server = made.open(answer, patience=0.2)
        with made.connect() as line:
            line.sendall(WORKS)
            assert done.wait(PATIENCE)
            until(lambda: server.clients == 0)  # what fits into no buffer was given up


def test_crowds_are_turned_away() -> None:
    """Connections without number would take every thread and descriptor there is."""
    with door() as made:
        made.open(desk(), maximum=2)
        one, two = made.connect(), made.connect()
        for line in (one, two):
            asking = Line(line)
            asking.say(WORKS, 5)
            assert asking.hear(PATIENCE) is not None
        with made.connect() as third:
            third.settimeout(PATIENCE)
            assert third.recv(1) == b""
        one.close()
        until(lambda: works(made))
        two.close()


def test_other_users_are_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may walk into the folder could sign in everybody's name."""
    with door() as made:
        made.open(desk())
        monkeypatch.setattr(server_module, "_ROOT", os.getuid() + 1)
        monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 2)
        assert not works(made)
        monkeypatch.undo()
        assert works(made)


def test_socket_that_is_shut_ends_the_door() -> None:
    """A test, or a key process told to stop, would spin."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(WORKS[:3])
        left.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            Line(right).hear(5)


def test_no_thread_for_one_is_one_client_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine short of threads for a moment would leave the key process deaf for ever."""
    with door() as made:
        made.open(desk(), maximum=1)

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as short:
            short.setattr(threading.Thread, "start", refuse)
            assert not works(made)
        assert works(made)


def test_time_is_kept_for_each_word() -> None:
    """A limit set for one question would hold for the next, or none would hold at all."""
    left, right = socket.socketpair()
    with left, right:
        line = Line(left)
        with pytest.raises(TimeoutError):
            line.hear(PATIENCE, idle=0.05)
        threading.Timer(0.2, right.sendall, (WORKS,)).start()
        heard = line.hear(PATIENCE)
        assert heard is not None
        with pytest.raises(TimeoutError):
            line.hear(0.0)
        with pytest.raises(TimeoutError):
            line.say(bytes(LARGEST), 0.05)
