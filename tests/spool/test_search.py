"""Words and patterns find the entries of the queue that hold them, and no others."""

from pathlib import Path

import pytest

from spool import Envelope, Recipient, Spool, new_queue_id
from spool.search import matching

AT = 1_790_000_000.0


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(str(tmp_path / "spool"))
    spool.make()
    return spool


def put(spool: Spool, sender: str, *recipients: str, login: str = "", content: bytes = b"x\n") -> str:
    with spool.draft(new_queue_id(AT)) as draft:
        draft.write(content)
        envelope = Envelope(sender, tuple(map(Recipient, recipients)), login=login, client="mx[192.0.2.1]")
        return draft.commit(envelope, AT)


def defer(spool: Spool, queue_id: str, host: str, reply: str) -> None:
    claim = spool.claim(queue_id)
    assert claim is not None
    with claim:
        waiting = tuple(each._replace(attempts=1, host=host, last_reply=reply) for each in claim.state.recipients)
        claim.record(claim.state._replace(recipients=waiting, attempts=1, next_attempt=AT))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Ann@Example.org", True),
        ("192.0.2.1", True),
        ("joe far.example", True),
        ("greylisted", True),
        ("mx.far", True),
        ("jürgen", True),
        ("JÜRGEN", True),
        ("*@example.org", True),
        ("b?b@far.example", True),
        ("*@far.example *@example.org", True),
        ("mx.far.example[192.0.2.9]:*", True),
        ("*[192.0.2.9]*", True),
        ("*[jb]?b@far.example", False),
        ("example*", False),
        ("ann bob nothing", False),
        ("attempts", False),
        ("last_reply", False),
        ("hello", False),
    ],
)
def test_the_words_are_found_where_people_look_for_them(spool: Spool, words: str, *, found: bool) -> None:
    queue_id = put(
        spool, "ann@example.org", "bob@far.example", "jürgen@far.example", login="joe", content=b"hello attempts\n"
    )
    other = put(spool, "x@y.example", "z@y.example")
    defer(spool, queue_id, "mx.far.example[192.0.2.9]:25", "450 greylisted")
    for listed in (list(spool.list()), [row._replace(attempted=False) for row in spool.list()]):
        result = matching(spool, listed, words.split())
        assert result - {other} == ({queue_id} if found else set())


def test_a_long_envelope_is_searched_to_its_end(spool: Spool) -> None:
    queue_id = put(spool, "ann@example.org", *(f"r{number}@example.net" for number in range(500)))
    assert matching(spool, spool.list(), ["r499@example.net"]) == {queue_id}


def test_an_entry_that_is_gone_is_not_found(spool: Spool) -> None:
    queue_id = put(spool, "ann@example.org", "bob@example.net")
    listed = list(spool.list())
    spool.delete(queue_id)
    assert matching(spool, listed, ["ann"]) == set()
