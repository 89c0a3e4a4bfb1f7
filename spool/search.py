"""Search the queue for words: most files are ruled out by their octets, and only the others are parsed."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from spool import Entry, Listed, NoSuchEntry, Spool, SpoolBroken, State
from spool.form import CorruptFile
from spool.rows import trailer_and_state

__all__ = ["matching"]

_WILD = re.compile(r"[*?]")
_PLAIN = re.compile(r"[\w@.+=-]+", re.ASCII)  # JSON writes these characters as they are
_decode = json.JSONDecoder().raw_decode


def matching(spool: Spool, listed: Iterable[Listed], words: Sequence[str]) -> set[str]:
    """Return the ids of the entries with all these words, in any case, in id, sender, login, client, recipients, hosts
    or replies. A word with * or ? is a pattern for the whole of one of them, as in `*@example.net`.
    """
    wanted = [word.casefold() for word in words]
    pieces = [max(_WILD.split(word), key=len) for word in wanted]
    plain = [piece.encode() for piece in pieces if _PLAIN.fullmatch(piece)]
    return {each.queue_id for each in listed if _matches(spool, each, wanted, plain)}


def _matches(spool: Spool, listed: Listed, wanted: Sequence[str], plain: Sequence[bytes]) -> bool:
    """`plain` are the words that stand in the files as they are, if they do at all."""
    try:
        _, trailer, stored = trailer_and_state(spool.folders, listed)
        state = stored.text
        octets = b"".join((listed.queue_id.encode(), trailer, state)).lower()
        if not all(word in octets for word in plain):
            return False
        said = _decode(str(trailer, "ascii"))[0]["envelope"]
        recipients = _decode(str(state, "ascii"))[0]["recipients"] if state else said["recipients"]
        parts = list(_parts(listed.queue_id, said, [*said["recipients"], *recipients]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, CorruptFile):
        try:  # it has moved, or is damaged: read it with every check
            parts = list(_parts_of_entry(*spool.read(listed.queue_id)))
        except (NoSuchEntry, SpoolBroken):
            return False
    folded = [part.casefold() for part in parts]
    text = " ".join(folded)
    return all(_is_in(word, folded) if _WILD.search(word) else word in text for word in wanted)


def _is_in(pattern: str, parts: Iterable[str]) -> bool:
    pattern = pattern.replace("[", "[[]")  # as in an address literal or mx.example.net[192.0.2.1]:25
    return any(fnmatchcase(part, pattern) for part in parts)


def _parts(queue_id: str, envelope: dict[str, Any], recipients: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield queue_id
    yield from (envelope.get(name, "") for name in ("sender", "login", "client"))
    for each in recipients:
        yield from (each.get(name, "") for name in ("address", "host", "last_reply"))


def _parts_of_entry(entry: Entry, state: State) -> Iterator[str]:
    envelope = entry.envelope
    yield from (entry.queue_id, envelope.sender, envelope.login, envelope.client)
    yield from (recipient.address for recipient in envelope.recipients)
    for each in state.recipients:
        yield from (each.host, each.last_reply)
