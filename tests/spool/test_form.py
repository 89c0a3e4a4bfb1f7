"""Envelope and state come back as they were written, also by another version; whatever else a file holds is Garbage,
never a crash."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.entry import DELIVERED, FAILED, WAITING, Entry, Envelope, Recipient, RecipientState, State, untried
from spool.form import (
    MAX_REPLY,
    MAX_TRANSCRIPT,
    CorruptFile,
    decode_state,
    decode_trailer,
    encode_state,
    encode_trailer,
    footer_length,
    trailer_start,
)

TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
COUNTS = st.integers(0, 1000)
TIMES = st.floats(0, 4e9)
RECIPIENTS = st.builds(Recipient, TEXT, st.frozensets(st.sampled_from(["NEVER", "SUCCESS", "DELAY"])), TEXT, TEXT)
ENVELOPES = st.builds(
    Envelope,
    sender=TEXT,
    recipients=st.lists(RECIPIENTS, min_size=1, max_size=4).map(tuple),
    ret=TEXT,
    envid=TEXT,
    body_8bit=st.booleans(),
    smtputf8=st.booleans(),
    login=TEXT,
    client=TEXT,
    originates_here=st.booleans(),
    forwarded_from=TEXT,
)
ONE = Envelope("a@example.org", (Recipient("b@example.net"), Recipient("c@example.net")))
ENTRY = Entry("0" * 20, 5.0, ONE, 7)


def read_back(file: bytes) -> Entry:
    start = trailer_start(file[-footer_length:], len(file))
    return decode_trailer("0" * 20, file[start:])


@given(ENVELOPES, TIMES, st.binary(max_size=50))
def test_envelope_comes_back(envelope: Envelope, arrival: float, content: bytes) -> None:
    entry = read_back(content + encode_trailer(envelope, arrival, len(content)))
    assert entry == Entry("0" * 20, arrival, envelope, len(content))


@given(
    st.lists(
        st.builds(
            RecipientState, TEXT, st.sampled_from([WAITING, DELIVERED, FAILED]), COUNTS, COUNTS, TEXT, TEXT, TEXT, TIMES
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    COUNTS,
    TIMES,
    TIMES,
    st.booleans(),
    TEXT,
)
def test_state_comes_back(
    recipients: tuple[RecipientState, ...], attempts: int, first: float, last: float, notified: bool, transcript: str
) -> None:
    state = State(recipients, attempts, first, last, 12.5, notified, transcript, held=True)
    entry = replace_recipients(ENTRY, recipients)
    assert decode_state(encode_state(state, {}), entry, 12.5, held=True)[0] == state


def replace_recipients(entry: Entry, recipients: tuple[RecipientState, ...]) -> Entry:
    return entry._replace(
        envelope=entry.envelope._replace(recipients=tuple(Recipient(each.address) for each in recipients))
    )


def test_content_that_looks_like_a_trailer_stays_content() -> None:
    forged = b"x" + encode_trailer(Envelope("evil@example.org", (Recipient("victim@example.net"),)), 1.0, 1)
    entry = read_back(forged + encode_trailer(ONE, 5.0, len(forged)))
    assert (entry.envelope, entry.size) == (ONE, len(forged))


def test_defaults_take_no_room() -> None:
    said = json.loads(encode_trailer(Envelope("", (Recipient("b@example.net"),)), 5.0, 0).split(b"\n")[1])
    assert said == {
        "version": 1,
        "arrival": 5.0,
        "size": 0,
        "envelope": {"sender": "", "recipients": [{"address": "b@example.net"}]},
    }


def test_envelope_of_a_later_version_is_read() -> None:
    later = {
        "version": 9,
        "arrival": 5,
        "size": 7,
        "novelty": [1],
        "envelope": {
            "sender": "a@example.org",
            "urgent": True,
            "recipients": [{"address": "b@example.net", "colour": "red"}],
        },
    }
    trailer = b"\n" + json.dumps(later).encode() + b"\n000000000007 END\n"
    assert decode_trailer("0" * 20, trailer).envelope == Envelope("a@example.org", (Recipient("b@example.net"),))


def test_state_of_a_later_version_loses_nothing_when_written_again() -> None:
    later = {
        "version": 9,
        "attempts": 1,
        "novelty": {"a": 1},
        "recipients": [{"address": "b@example.net", "colour": "red"}, {"address": "c@example.net"}],
    }
    state, before = decode_state(json.dumps(later).encode(), ENTRY, 5.0, held=False)
    again = json.loads(encode_state(state._replace(attempts=2), before))
    assert again == {
        "version": 1,
        "attempts": 2,
        "novelty": {"a": 1},
        "recipients": [{"address": "b@example.net", "colour": "red"}, {"address": "c@example.net"}],
    }


def test_default_written_before_does_not_come_back_from_the_old_state() -> None:
    state, before = decode_state(encode_state(untried(ENTRY)._replace(delay_notified=True), {}), ENTRY, 5.0, held=False)
    assert not decode_state(encode_state(state._replace(delay_notified=False), before), ENTRY, 5.0, held=False)[
        0
    ].delay_notified


def test_transcript_and_replies_are_bounded_and_keep_their_end() -> None:
    recipients = tuple(each._replace(last_reply="r" * 10_000 + "END") for each in untried(ENTRY).recipients)
    state = untried(ENTRY)._replace(recipients=recipients, transcript="t" * 100_000 + "END")
    kept = decode_state(encode_state(state, {}), ENTRY, 0.0, held=False)[0]
    assert len(kept.transcript) == MAX_TRANSCRIPT
    assert kept.transcript.startswith("[…]\nt")
    assert {len(each.last_reply) for each in kept.recipients} == {MAX_REPLY}
    assert kept.transcript.endswith("tEND")
    assert all(each.last_reply.endswith("rEND") for each in kept.recipients)


GOOD = json.loads(encode_trailer(ONE, 5.0, 7).split(b"\n")[1])
BAD_ENVELOPES: dict[str, Any] = {
    "no object": [],
    "no envelope": {**GOOD, "envelope": None},
    "no recipients": {**GOOD, "envelope": {"sender": "a", "recipients": []}},
    "recipients missing": {**GOOD, "envelope": {"sender": "a"}},
    "recipient no object": {**GOOD, "envelope": {"sender": "a", "recipients": ["b"]}},
    "recipient without address": {**GOOD, "envelope": {"sender": "a", "recipients": [{}]}},
    "notify of numbers": {**GOOD, "envelope": {"sender": "a", "recipients": [{"address": "b", "notify": [1]}]}},
    "sender a number": {**GOOD, "envelope": {"sender": 1, "recipients": [{"address": "b"}]}},
    "flag a number": {**GOOD, "envelope": {"sender": "a", "recipients": [{"address": "b"}], "smtputf8": 1}},
    "arrival a text": {**GOOD, "arrival": "5"},
    "arrival true": {**GOOD, "arrival": True},
    "arrival not a number": {**GOOD, "arrival": float("nan")},
    "arrival without end": {**GOOD, "arrival": 10**400},
    "another size": {**GOOD, "size": 8},
}


@pytest.mark.parametrize("said", BAD_ENVELOPES.values(), ids=BAD_ENVELOPES)
def test_wrong_envelope_is_garbage(said: object) -> None:
    with pytest.raises(CorruptFile):
        decode_trailer("0" * 20, b"\n" + json.dumps(said).encode() + b"\n000000000007 END\n")


@pytest.mark.parametrize(
    "trailer",
    [
        b"\n{}000000000007 END\n",
        b"{}\n000000000007 END\n",
        b"\n\xff\n000000000007 END\n",
        b"\n" + b"[" * 100_000 + b"\n000000000007 END\n",
    ],
    ids=["no line end before the mark", "none before the JSON", "no UTF-8", "too deep"],
)
def test_wrong_trailer_is_garbage(trailer: bytes) -> None:
    with pytest.raises(CorruptFile):
        decode_trailer("0" * 20, trailer)


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"END\n",
        b"000000000007 END ",
        b"00000000000x END\n",
        "00000000000\u0663 END\n".encode()[-17:],
        b"-00000000001 END\n",
        b"000000000100 END\n",
    ],
)
def test_wrong_end_mark_is_garbage(footer: bytes) -> None:
    with pytest.raises(CorruptFile):
        trailer_start(footer, 100)


@given(st.data())
def test_damaged_file_is_garbage_or_still_says_something_whole(data: st.DataObject) -> None:
    content = b"Subject: x\n\nbody\n"
    file = bytearray(content + encode_trailer(ONE, 5.0, len(content)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    try:
        entry = read_back(cut)
    except CorruptFile:
        return
    assert 0 <= entry.size < len(cut)
    assert entry.envelope.recipients


BAD_STATES: dict[str, object] = {
    "no object": [1],
    "nothing": {},
    "other recipients": {"recipients": [{"address": "x"}, {"address": "c@example.net"}]},
    "one too few": {"recipients": [{"address": "b@example.net"}]},
    "recipients no list": {"recipients": {"address": "b@example.net"}},
    "unknown outcome": {"recipients": [{"address": "b@example.net", "state": "lost"}, {"address": "c@example.net"}]},
    "attempts a text": {"attempts": "1", "recipients": [{"address": "b@example.net"}, {"address": "c@example.net"}]},
}


@pytest.mark.parametrize("said", BAD_STATES.values(), ids=BAD_STATES)
def test_wrong_state_is_garbage(said: object) -> None:
    with pytest.raises(CorruptFile):
        decode_state(json.dumps(said).encode(), ENTRY, 0.0, held=False)


@given(st.binary(max_size=100))
def test_any_bytes_as_a_state_are_garbage(data: bytes) -> None:
    with pytest.raises(CorruptFile):
        decode_state(data, ENTRY, 0.0, held=False)
