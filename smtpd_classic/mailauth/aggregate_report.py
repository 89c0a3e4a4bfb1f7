"""DMARC aggregate reports of other servers (RFC 9990): taken out of a message, and read with bounds.

A report comes from a stranger. Nothing of it is expanded: a document type or an entity makes it unreadable.
"""

import email
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from xml.parsers import expat

__all__ = ["AggregateReport", "BadReport", "ReportRow", "parse_report", "reports_in"]

_MOST_OCTETS = 8 << 20
_MOST_PARTS, _MOST_ROWS, _MOST_DEPTH, _LONGEST_TEXT = 20, 50_000, 12, 512
_GZIP = 31  # the window bits of zlib for the gzip format


class BadReport(Exception):
    """The document is no aggregate report that can be read; `str()` says why."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """The messages of one source with one result. `dkim` and `spf`: it passed, in alignment with the author."""

    source: str
    count: int
    dkim: bool
    spf: bool


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """One report: `organization` wrote it about `domain`, from `begin` to `end`."""

    organization: str
    domain: str
    begin: int
    end: int
    rows: tuple[ReportRow, ...]


@dataclass(slots=True)
class _Reading:
    """The state of a parser: the names of the open elements, and the texts found so far."""

    path: list[str] = field(default_factory=list)
    text: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    row: dict[str, str] = field(default_factory=dict)
    rows: list[ReportRow] = field(default_factory=list)

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self.path.append(name.rpartition(":")[2].lower())
        self.text = ""
        if len(self.path) > _MOST_DEPTH:
            raise BadReport("the elements are nested too deep")

    def characters(self, text: str) -> None:
        self.text = (self.text + text)[:_LONGEST_TEXT]

    def end(self, _name: str) -> None:
        place, text = "/".join(self.path[1:]), self.text.strip()
        if place == "record":
            self._end_row()
        elif place.startswith("record/"):
            self.row.setdefault(place, text)
        else:
            self.texts.setdefault(place, text)
        self.path.pop()
        self.text = ""

    def _end_row(self) -> None:
        row, self.row = self.row, {}
        if len(self.rows) >= _MOST_ROWS:
            raise BadReport("there are too many rows")
        evaluated = "record/row/policy_evaluated"
        self.rows.append(
            ReportRow(
                row.get("record/row/source_ip", "")[:45],
                _number(row.get("record/row/count", "")),
                row.get(f"{evaluated}/dkim", "").lower() == "pass",
                row.get(f"{evaluated}/spf", "").lower() == "pass",
            )
        )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 13):
        raise BadReport("a number cannot be read")
    return int(text)


def _forbidden(*_: object) -> None:
    raise BadReport("it declares a document type or an entity")


def parse_report(document: bytes) -> AggregateReport:
    """Return the report in an XML document. Raises BadReport."""
    reading, parser = _Reading(), expat.ParserCreate()
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _forbidden
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError) as problem:
        raise BadReport(f"it is no XML that can be read: {problem}") from None
    texts = reading.texts
    domain = texts.get("policy_published/domain", "").lower().rstrip(".")
    if not domain:
        raise BadReport("it names no domain")
    return AggregateReport(
        texts.get("report_metadata/org_name", ""),
        domain,
        _number(texts.get("report_metadata/date_range/begin", "")),
        _number(texts.get("report_metadata/date_range/end", "")),
        tuple(reading.rows),
    )


def reports_in(message: bytes) -> Iterator[AggregateReport]:
    """Yield the reports that a message has as attachments. Parts that are none are left out."""
    left = _MOST_OCTETS
    try:
        parts = email.message_from_bytes(message).walk()
        for _, part in zip(range(_MOST_PARTS), parts, strict=False):
            payload = None if part.is_multipart() else part.get_payload(decode=True)
            document = _document(payload, left) if isinstance(payload, bytes) else b""
            left -= len(document)
            if document:
                with suppress(BadReport):
                    yield parse_report(document)
    except (RecursionError, ValueError, LookupError):
        return


def _document(payload: bytes, most: int) -> bytes:
    """Return the XML document in an attachment, unpacked up to a bound; nothing if there is none."""
    if payload.startswith(b"\x1f\x8b"):
        with suppress(zlib.error):
            return zlib.decompressobj(_GZIP).decompress(payload, most) if most else b""
    elif payload.startswith(b"PK\x03\x04"):
        with suppress(
            zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, LookupError
        ):
            return _unzipped(payload, most)
    elif payload[:100].lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xml", b"<feedback")):
        return payload[:most]
    return b""


def _unzipped(payload: bytes, most: int) -> bytes:
    """Return the first XML file of an archive, or its first file; some archives have a folder before it."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        files = [each for each in archive.infolist() if not each.is_dir()]
        chosen = next((each for each in files if each.filename.lower().endswith(".xml")), files[0])
        with archive.open(chosen) as file:
            return file.read(most)
