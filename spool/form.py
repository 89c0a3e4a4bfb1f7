"""The form of an envelope and a state on disk: JSON that other versions of the program can read.

Unknown keys are ignored, missing keys have their defaults, and defaults are not written. A state that is read and
written again keeps its unknown keys. Every text is kept: JSON escapes all characters outside ASCII.

    content LF JSON LF 000000004711 END LF          twelve digits: the length of the content
"""

import json
from collections.abc import Callable, Mapping
from itertools import compress
from operator import attrgetter, ne
from typing import Any, NamedTuple, TypeVar, get_type_hints

from spool.entry import DELIVERED, FAILED, WAITING, Entry, Envelope, Recipient, RecipientState, State

__all__ = [
    "CorruptFile",
    "NeverSynced",
    "decode_state",
    "decode_trailer",
    "encode_state",
    "encode_trailer",
    "footer_length",
    "trailer_start",
]

VERSION = 1
MAX_TRANSCRIPT = 64 * 1024
MAX_REPLY = 4 * 1024

footer_length = len("000000004711 END\n")
_CUT = "[…]\n"
_HUGE = 1e15
_NONE = object()  # the default of a key that has none
# The next-attempt time (mtime) and the hold flag (mode bit) are in the inode; the JSON omits them.
_IN_INODE = frozenset({"next_attempt", "held"})

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_Record = TypeVar("_Record", Envelope, Recipient, RecipientState, State)


class CorruptFile(Exception):
    """Raised when the content of a file is not in the expected form."""


class NeverSynced(CorruptFile):
    """Raised when a file ends in NULs or is empty: the power failed before its fsync, so it was never acknowledged."""


class _Key(NamedTuple):
    """One key of a record, with the functions that write its value as JSON and read it.

    `read` raises TypeError and CorruptFile.
    """

    name: str
    default: Any
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


class _Form(NamedTuple):
    """The keys of one record, in order and by name; `values` returns those of a record, `required` have no default."""

    keys: tuple[_Key, ...]
    defaults: tuple[Any, ...]
    known: dict[str, _Key]
    values: Callable[[Any], tuple[Any, ...]]
    required: frozenset[str]


def _form_of(record: type[Any], without: frozenset[str] = frozenset()) -> _Form:
    kinds, defaults = get_type_hints(record), record._field_defaults
    names = [name for name in record._fields if name not in without]
    keys = tuple(_Key(name, defaults.get(name, _NONE), *_ways(kinds[name])) for name in names)
    values = tuple(key.default for key in keys)
    return _Form(keys, values, {key.name: key for key in keys}, attrgetter(*names), frozenset(names) - defaults.keys())


def encode_trailer(envelope: Envelope, arrival: float, size: int) -> bytes:
    """Return the trailer, which follows the content of `size` octets."""
    said = {"version": VERSION, "arrival": arrival, "size": size, "envelope": _to_json(envelope, _ENVELOPE)}
    return f"\n{_encode(said)}\n{size:012d} END\n".encode("ascii")


def trailer_start(footer: bytes, file_size: int) -> int:
    """Return the position of the trailer, which is the length of the content.

    `footer` is the last `footer_length` octets of the file. Raises CorruptFile.
    """
    if not footer.strip(b"\0"):
        raise NeverSynced("it is empty, or ends in NULs")
    digits = footer[:12]
    if footer[12:] != b" END\n" or not digits.isdigit():
        raise CorruptFile("it has no END mark")
    size = int(digits)
    if size + 2 + footer_length > file_size:
        raise CorruptFile("it is shorter than it says")
    return size


def decode_trailer(queue_id: str, trailer: bytes) -> Entry:
    """Return the entry that a file's trailer describes. Raises CorruptFile."""
    if trailer[:1] != b"\n" or trailer[-footer_length - 1 : -footer_length] != b"\n":
        raise CorruptFile("its trailer is not where it should be")
    said = _load(trailer[1 : -footer_length - 1])
    envelope, arrival, size = said.get("envelope"), said.get("arrival"), said.get("size")
    if size != int(trailer[-footer_length:][:12]):
        raise CorruptFile("its trailer gives two sizes")
    decoded = _from_json(Envelope, _ENVELOPE, envelope)
    if not decoded.recipients:
        raise CorruptFile("it has no recipients")
    try:
        return Entry(queue_id, _number(arrival), decoded, size)
    except TypeError:
        raise CorruptFile("its arrival is of the wrong type") from None


def encode_state(state: State, before: Mapping[str, Any]) -> bytes:
    """Return the JSON of the state. `before` is the JSON that it replaces: its unknown keys are kept."""
    state = state._replace(transcript=_bounded(state.transcript, MAX_TRANSCRIPT))
    said = {"version": VERSION} | _unknown(before, _STATE) | _to_json(state, _STATE)
    old = before.get("recipients", ())
    for number, recipient in enumerate(said["recipients"]):
        for name in ("last_reply", "remote_reply"):
            if name in recipient:
                recipient[name] = _bounded(recipient[name], MAX_REPLY)
        if number < len(old):
            recipient.update(_unknown(old[number], _RECIPIENT_STATE))
    return _encode(said).encode("ascii") + b"\n"


def decode_state(data: bytes, entry: Entry, next_attempt: float, held: bool) -> tuple[State, Mapping[str, Any]]:
    """Return the state and the JSON that it was read from. Raises CorruptFile."""
    said = _load(data)
    state = _from_json(State, _STATE, said)._replace(next_attempt=next_attempt, held=held)
    addresses = [recipient.address for recipient in entry.envelope.recipients]
    if [recipient.address for recipient in state.recipients] != addresses:
        raise CorruptFile("its recipients are not those of the envelope")
    if any(recipient.state not in {WAITING, DELIVERED, FAILED} for recipient in state.recipients):
        raise CorruptFile("it has a recipient that is neither waiting, delivered nor failed")
    return state, said


def _bounded(text: str, limit: int) -> str:
    """Return the end of a text that is too long: the end names the error."""
    return text if len(text) <= limit else _CUT + text[len(_CUT) - limit :]


def _unknown(said: Mapping[str, Any], form: _Form) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in form.known and key != "version"}


def _load(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptFile("it holds no JSON") from error
    if not isinstance(said, dict):
        raise CorruptFile("its JSON is no object")
    return said


def _to_json(record: object, form: _Form) -> dict[str, Any]:
    values = form.values(record)
    said = compress(zip(form.keys, values, strict=True), map(ne, values, form.defaults))  # most are defaults
    return {key.name: key.write(value) for key, value in said}


def _from_json(record: type[_Record], form: _Form, said: object) -> _Record:
    if not isinstance(said, dict):
        raise CorruptFile(f"what should be a {record.__name__} is none")
    found: dict[str, Any] = {}
    for name, value in said.items():
        key = form.known.get(name)
        if key is not None:
            try:
                found[name] = key.read(value)
            except TypeError:
                raise CorruptFile(f"its {name} is of the wrong type") from None
    if missing := form.required - found.keys():
        raise CorruptFile(f"it lacks {min(missing)}")
    return record(**found)


def _ways(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the functions that write and read a value of the declared type."""
    if kind == frozenset[str]:
        return sorted, _words
    if kind == tuple[Recipient, ...]:
        return _rows_written(_RECIPIENT), _rows_read(Recipient, _RECIPIENT)
    if kind == tuple[RecipientState, ...]:
        return _rows_written(_RECIPIENT_STATE), _rows_read(RecipientState, _RECIPIENT_STATE)
    return _as_it_is, _number if kind is float else _exactly(kind)


def _as_it_is(value: Any) -> Any:
    return value


def _exactly(kind: type[Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or type(value) is bool or not -_HUGE < value < _HUGE:
        raise TypeError
    return float(value)


def _words(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return frozenset(value)


def _rows_written(form: _Form) -> Callable[[Any], Any]:
    return lambda rows: [_to_json(row, form) for row in rows]


def _rows_read(record: type[_Record], form: _Form) -> Callable[[Any], tuple[_Record, ...]]:
    def read(value: Any) -> tuple[_Record, ...]:
        if not isinstance(value, list):
            raise TypeError
        return tuple([_from_json(record, form, item) for item in value])

    return read


_RECIPIENT = _form_of(Recipient)
_RECIPIENT_STATE = _form_of(RecipientState)
_ENVELOPE = _form_of(Envelope)
_STATE = _form_of(State, _IN_INODE)
