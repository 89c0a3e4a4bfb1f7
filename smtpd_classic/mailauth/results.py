"""The Authentication-Results field: written and read (RFC 8601 2.2)."""

import re
from typing import NamedTuple

__all__ = ["AuthenticationResults", "BadResults", "MethodResult", "parse_results", "quoted", "results_id"]

_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\x80-\U0010ffff]+")  # RFC 2045 5.1, without tspecials
_VALUE = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\x80-\U0010ffff]*@?[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\x80-\U0010ffff]+")
_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DOMAIN = re.compile(r"@[0-9A-Za-z\x80-\U0010ffff](?:[-.0-9A-Z_a-z\x80-\U0010ffff]*[0-9A-Za-z\x80-\U0010ffff])?")
_NONE = re.compile("none", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 65_536


class BadResults(ValueError):
    """The value is not an Authentication-Results field that can be read."""


class MethodResult(NamedTuple):
    """One method with its result. `properties` are pairs such as (“header.d”, “example.org”)."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    comment: str = ""

    def __str__(self) -> str:
        parts = [f"{self.method}={self.result}"]
        if self.reason:
            parts.append(f"reason={_quotation(self.reason)}")
        if self.comment:
            parts.append(f"({_CONTROL.sub(' ', self.comment).translate(_IN_COMMENT)})")
        parts += [f"{name}={quoted(value)}" for name, value in self.properties]
        return " ".join(parts)


_IN_COMMENT = str.maketrans({"(": r"\(", ")": r"\)", "\\": r"\\"})


class AuthenticationResults(NamedTuple):
    """The value of one field; no results means “none”."""

    server: str
    results: tuple[MethodResult, ...] = ()

    def lines(self) -> list[str]:
        """Return the value in lines to be folded, one a result."""
        if not self.results:
            return [f"{_token(self.server)}; none"]
        last = len(self.results) - 1
        texts = [f"{each}{';' if number < last else ''}" for number, each in enumerate(self.results)]
        return [f"{_token(self.server)};", *texts]

    def field(self) -> str:
        """Return the whole field with LF line ends."""
        return "Authentication-Results: " + "\n\t".join(self.lines()) + "\n"


def quoted(value: str) -> str:
    """Return the value as it is when it is a token or an address of tokens, otherwise as a quoted string."""
    return value if _VALUE.fullmatch(value) else _quotation(value)


def _token(value: str) -> str:
    return value if _TOKEN.fullmatch(value) else _quotation(value)


def _quotation(value: str) -> str:
    text = _CONTROL.sub(" ", value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def results_id(value: str) -> str:
    """Return the authserv-id of a field, in lower case. Raises BadResults when it has none."""
    return _ResultsParser(value).server().lower()


def parse_results(value: str) -> AuthenticationResults:
    """Return the value of a field, parsed. Raises BadResults."""
    return _ResultsParser(value).read()


class _ResultsParser:
    """One pass over a value from left to right."""

    def __init__(self, value: str) -> None:
        if len(value) > _LONGEST:
            raise BadResults("the field is too long")
        self._value = value
        self._at = 0
        self._skip()

    def read(self) -> AuthenticationResults:
        server = self.server()
        self._version()
        results: list[MethodResult] = []
        while self._at < len(self._value):
            self._expect(";")
            if self._at == len(self._value):
                break  # a “;” at the end, as some servers write it
            if not results and self._none():
                break
            results.append(self._result())
        return AuthenticationResults(server, tuple(results))

    def server(self) -> str:
        name = self._text(_TOKEN)
        self._skip()
        return name

    def _version(self) -> None:
        if self._at < len(self._value) and self._value[self._at].isdigit():
            if self._match(re.compile("[0-9]+")) != "1":
                raise BadResults("the version is unknown")
            self._skip()
        if self._at == len(self._value):
            raise BadResults("there are no results")

    def _none(self) -> bool:
        """Return True if only the word “none” is left, and go behind it; comments may follow (RFC 8601 2.2)."""
        start = self._at
        if match := _NONE.match(self._value, self._at):
            self._at = match.end()
            self._skip()
            if self._at == len(self._value):
                return True
        self._at = start
        return False

    def _result(self) -> MethodResult:
        method = self._match(_KEYWORD).lower()
        self._skip()
        if self._peek() == "/":
            self._expect("/")
            self._match(re.compile("[0-9]+"))
            self._skip()
        self._expect("=")
        result = self._match(_KEYWORD).lower()
        self._skip()
        reason = ""
        properties: list[tuple[str, str]] = []
        while self._peek() not in {"", ";"}:
            name = self._property_name()
            self._expect("=")
            text = self._property_value()
            self._skip()
            if name == "reason" and not properties:
                reason = text
            else:
                properties.append((name, text))
        return MethodResult(method, result, tuple(properties), reason)

    def _property_name(self) -> str:
        name = self._match(_KEYWORD).lower()
        self._skip()
        if self._peek() == ".":
            self._expect(".")
            name += "." + self._match(_KEYWORD).lower()
            self._skip()
        return name

    def _property_value(self) -> str:
        """Return the value behind “=”: an address may have a quoted string as its local part (RFC 8601 2.2)."""
        is_quoted = self._peek() == '"'
        text = self._text(_VALUE)
        return text + self._match(_DOMAIN) if is_quoted and self._peek() == "@" else text

    def _text(self, token: re.Pattern[str]) -> str:
        if self._peek() != '"':
            return self._match(token)
        return re.sub(r"\\(.)", r"\1", self._match(_QUOTED)[1:-1], flags=re.DOTALL)

    def _peek(self) -> str:
        return self._value[self._at : self._at + 1]

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise BadResults(f"“{sign}” is missing at {self._at}")
        self._at += 1
        self._skip()

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._value, self._at)
        if match is None:
            raise BadResults(f"the field cannot be read at {self._at}")
        self._at = match.end()
        return match[0]

    def _skip(self) -> None:
        """Go behind blanks and comments, which may nest."""
        while (sign := self._peek()) and sign in " \t\r\n(":
            if sign == "(":
                self._at = self._comment()
            elif blanks := _BLANKS.match(self._value, self._at):
                self._at = blanks.end()

    def _comment(self) -> int:
        depth = 0
        for match in re.compile(r"[()]|\\.", re.DOTALL).finditer(self._value, self._at):
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth == 0:
                return match.end()
        raise BadResults("a comment is not closed")
