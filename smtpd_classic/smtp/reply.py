"""The replies of a server: RFC 5321 4.2 with the enhanced status codes of RFC 2034 and 3463."""

from dataclasses import dataclass, field

__all__ = ["Reply"]


@dataclass(init=False, unsafe_hash=True, slots=True)
class Reply:
    """A reply code, an enhanced status code (blank where RFC 2034 has none) and a text of one or more lines.

    Both sides of the wire use it: the replies of this server, and those of other servers. The `text` lines are
    separated by "\\n" and hold no code. Named replies are in `smtp.replies`. A reply is never changed, and its
    `__init__` is written out because it can be compiled.
    """

    code: int
    enhanced: str
    text: str
    positive: bool = field(repr=False, compare=False)
    _wire: bytes = field(repr=False, compare=False)

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        self.code = code
        self.enhanced = enhanced
        self.text = text
        self.positive = code < 400
        self._wire = b""

    @property
    def transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def closing(self) -> bool:
        """Return True if the server closes the connection after it."""
        return self.code in {221, 421}

    @property
    def wire(self) -> bytes:
        """Return the octets to send, CR LF included."""
        if not self._wire:
            self._wire = self._octets()
        return self._wire

    def _octets(self) -> bytes:
        prefix = f"{self.enhanced} " if self.enhanced else ""
        if "\n" not in self.text:
            return f"{self.code} {prefix}{self.text}\r\n".encode("utf-8", "replace")
        lines = self.text.split("\n")
        last = len(lines) - 1
        return "".join(
            f"{self.code}{' ' if number == last else '-'}{prefix}{line}\r\n" for number, line in enumerate(lines)
        ).encode("utf-8", "replace")

    def __str__(self) -> str:
        """Return the reply on one line, for the log and for people, as in `550 5.1.1 No such user here`."""
        text = self.text.replace("\n", " ")
        said = f"{self.code} {self.enhanced} {text}" if self.enhanced else f"{self.code} {text}"
        return said if text else said.rstrip(" ")
