"""Messages: what goes over the wire and comes back, and what is refused."""

from __future__ import annotations

import pytest

from orchestrator.rundir.membership import Member
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.secret import proof, proves
from orchestrator.runtime.membership.wire import LineBuffer, WireError, encode, pack, unpack

WORDS = [
    e.AgentJoined(2, 4, 2003, (2000, 2002)),
    e.AgentRoom(2, 0),
    e.WorkerStarted(7),
    e.WorkerReady(Member(7, "127.0.0.1", 5007, 99)),
    e.WorkerBeat(7, 12, "collective", 3),
    e.WorkerBroken(7, 3, "connection closed by peer"),
    e.WorkerGone(7, "was ended by SIGKILL", "out_of_memory"),
    e.WorkerDone(7, "failed", "no", None),
    e.WorkerDone(7, "failed", "no", "data"),
    e.EndRun("stopped", "stopped"),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_word_comes_back_as_it_was(word: object) -> None:
    (message,) = LineBuffer(4096).feed(encode(pack(word)))
    assert unpack(message, type(word)) == word


def test_messages_are_whole_however_they_are_cut() -> None:
    data = encode({"a": 1}) + encode({"b": "ä\n"})
    buffer = LineBuffer(100)
    assert [m for place in range(len(data)) for m in buffer.feed(data[place : place + 1])] == [{"a": 1}, {"b": "ä\n"}]


@pytest.mark.parametrize("data", [b"x" * 101, b"[1]\n", b"{\n", b"\xff\xfe\n", b'{"a":' * 4000])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        LineBuffer(100).feed(data)


@pytest.mark.parametrize(
    "document",
    [
        {"word": "EndRun", "outcome": "succeeded", "message": "", "failure_class": None},
        {"word": "WorkerBeat", "number": 7, "step": 1, "phase": "asleep", "epoch": 1},
        {"word": "WorkerBeat", "number": "7", "step": 1, "phase": "idle", "epoch": 1},
        {"word": "WorkerBeat", "number": True, "step": 1, "phase": "idle", "epoch": 1},
        {"word": "WorkerBeat", "number": 7, "step": 1, "phase": "idle"},
        {"word": "WorkerBeat", "number": 7, "step": 1, "phase": "idle", "epoch": 1, "more": 1},
        {"word": "WorkerReady", "member": [7, "127.0.0.1", 1, 1]},
        {},
    ],
)
def test_words_of_another_kind_or_form_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(WireError):
        unpack(document, e.WorkerBeat, e.WorkerReady)


def test_a_proof_holds_for_its_secret_its_side_and_its_text_only() -> None:
    answer = proof(b"secret", "hub", "text")
    assert proves(b"secret", "hub", "text", answer)
    assert not proves(b"other", "hub", "text", answer)
    assert not proves(b"secret", "worker 1", "text", answer)
    assert not proves(b"secret", "hub", "other", answer)
    assert not proves(b"secret", "hub", "text", None)
