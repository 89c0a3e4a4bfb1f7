"""Text out of RTF: the HTML or plain text that Outlook wrapped in it (MS-OXRTFEX), or the words of a plain RTF body.

One pass over the tokens. The state before a group is restored at its end. A destination without text (fonts,
colours, pictures) is skipped with all groups in it.
"""

import html
import re
from dataclasses import dataclass, replace

__all__ = ["Rtf", "read_rtf", "words_of"]

MAX_SIZE = 16 * 1024**2
_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})?[ ]?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<symbol>[^a-zA-Z])"
    rb"|(?P<brace>[{}])|[\r\n]+|(?P<text>[^\\{}\r\n]+)",
    re.DOTALL,
)
_SILENT = {
    "fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "footnote",
    "generator", "listtable", "listoverridetable", "rsidtbl", "themedata", "datastore", "latentstyles",
    "xmlnstbl", "fldinst", "private",
}  # fmt: skip
_CHARACTERS = {
    "par": "\n", "line": "\n", "tab": "\t", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
    "bullet": "•", "endash": "–", "emdash": "—", "row": "\n", "cell": "\t", "emspace": " ", "enspace": " ",
}  # fmt: skip
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rtf:
    """The text of an RTF body. `plain`: it was plain text from the start, so that no formatting is lost."""

    html: str = ""
    text: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    silent: bool = False
    in_tag: bool = False
    hidden: bool = False
    skip: int = 1
    charset: str = ""
    fresh: bool = True
    starred: bool = False
    fonts: bool = False
    font: int = 0


def read_rtf(data: bytes) -> Rtf:
    """Return the text of an RTF body. Raises ValueError when it is too large."""
    if len(data) > MAX_SIZE:
        raise ValueError("the RTF body is too large.")
    data = data.rstrip(b"\0")
    head = data[:2000]
    wraps_html = b"\\fromhtml1" in head
    text = _RtfReader(data, wraps_html=wraps_html).read().replace("\r\n", "\n")
    if wraps_html:
        return Rtf(html=text, text=words_of(text))
    return Rtf(text=text, plain=b"\\fromtext" in head)


def words_of(markup: str) -> str:
    """Return the text of HTML, as a text/plain part beside it."""
    text = re.sub(r"(?is)<(script|style|head)\b.{0,200000}?</\1\s*>", "", markup)
    text = re.sub(r"[ \t\r\n]+", " ", text)
    text = re.sub(r"(?i)<br\b[^>]{0,1000}>|</(?:p|div|tr|li|h\d)\s*>", "\n", text)
    text = html.unescape(re.sub(r"<[^>]{0,20000}>", "", text))
    lines = [line.strip(" \xa0") for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _RtfReader:
    def __init__(self, data: bytes, *, wraps_html: bool) -> None:
        self._data = data
        self._wraps_html = wraps_html
        self._group = _Group()
        self._stack: list[_Group] = []
        self._fonts: dict[int, str] = {}
        self._default = "cp1252"
        self._to_skip = 0
        self._pending = bytearray()  # bytes of a code page, joined before decoding: one character may be two of them
        self._out: list[str] = []

    def read(self) -> str:
        for token in _TOKEN.finditer(self._data):
            self._take(token)
        self._flush()
        # \u writes a character outside the first plane as two surrogates
        return "".join(self._out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _take(self, token: "re.Match[bytes]") -> None:
        if token["hex"] is not None:
            self._bytes(bytes([int(token["hex"], 16)]))
        elif token["text"] is not None:
            self._bytes(token["text"])
        elif token["brace"] == b"{":
            self._flush()
            self._stack.append(self._group)
            self._group = replace(self._group, fresh=True, starred=False)
        elif token["brace"] == b"}":
            self._flush()
            self._group = self._stack.pop() if self._stack else _Group()
        elif token["symbol"] is not None:
            self._symbol(token["symbol"].decode("latin-1"))
        elif token["word"] is not None:
            number = int(token["number"]) if token["number"] else None
            self._word(token["word"].decode("ascii"), number)

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._group = replace(self._group, starred=True)
        elif symbol in "{}\\":
            self._character(symbol)
        elif symbol == "~":
            self._character("\xa0")
        elif symbol == "_":
            self._character("-")
        elif symbol in "\r\n":
            self._character("\n")

    def _word(self, word: str, number: int | None) -> None:
        group = self._group
        if group.fresh:
            self._flush()
            self._group = group = self._destination(word, group)
        if word in _CHARACTERS:
            self._character(_CHARACTERS[word])
        elif word == "u" and number is not None:
            self._character(chr(number & 0xFFFF), surrogate=True)
            self._to_skip = group.skip
        else:
            self._state(word, number, group)

    def _destination(self, word: str, group: _Group) -> _Group:
        if word == "htmltag" and group.starred:
            return replace(group, fresh=False, in_tag=True, silent=False)
        silent = group.silent or word in _SILENT or (group.starred and word != "mhtmltag")
        silent = silent or word == "mhtmltag"  # the same again, for another program
        return replace(group, fresh=False, silent=silent, fonts=group.fonts or word == "fonttbl")

    def _state(self, word: str, number: int | None, group: _Group) -> None:
        if word == "uc" and number is not None:
            self._group = replace(group, skip=max(0, min(number, 8)))
        elif word == "htmlrtf":
            self._flush()
            self._group = replace(group, hidden=number != 0)
        elif word == "ansicpg" and number:
            self._default = _codec(f"cp{number}")
        elif word == "f" and number is not None:
            self._flush()
            self._group = replace(group, font=number, charset="" if group.fonts else self._fonts.get(number, ""))
        elif word == "fcharset" and number is not None and group.fonts:
            self._fonts[group.font] = _CHARSETS.get(number, "")
        elif word in {"plain", "pard"} and not group.fonts:
            self._flush()

    def _shown(self) -> bool:
        group = self._group
        if group.silent or group.fonts:
            return False
        return not self._wraps_html or group.in_tag or not group.hidden

    def _bytes(self, data: bytes) -> None:
        self._group = self._group if not self._group.fresh else replace(self._group, fresh=False)
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
        if data and self._shown():
            self._pending += data

    def _character(self, text: str, *, surrogate: bool = False) -> None:
        self._flush()
        if self._shown():
            self._out.append(text if surrogate else self._escaped(text))

    def _flush(self) -> None:
        if self._pending:
            text = bytes(self._pending).decode(self._group.charset or self._default, "replace")
            self._pending.clear()
            self._out.append(self._escaped(text))

    def _escaped(self, text: str) -> str:
        """Escape text between htmltag groups, which hold all the markup of wrapped HTML."""
        return html.escape(text, quote=False) if self._wraps_html and not self._group.in_tag else text


def _codec(name: str) -> str:
    name = {"cp65001": "utf-8", "cp936": "gbk", "cp10000": "mac_roman"}.get(name, name)
    try:
        "".encode(name)
    except LookupError:
        return "cp1252"
    return name
