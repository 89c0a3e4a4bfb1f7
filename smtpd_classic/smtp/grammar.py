"""The arguments of commands (RFC 5321 4.1; parameters: RFC 1870, 3461, 4954, 6152, 6531, 6533).

Each function takes the argument as it came, without the line end, and returns its values. It raises Malformed, with the
reply that shows how to write it, if the argument is invalid.
"""

import binascii
import re

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.address import NULL_SENDER, BadAddress, parse_path
from smtpd_classic.smtp.events import Auth, Hello, MailFrom, RcptTo
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "Malformed",
    "base64_octets",
    "decode_xtext",
    "encode_xtext",
    "parse_auth",
    "parse_bdat",
    "parse_hello",
    "parse_mail",
    "parse_rcpt",
]

_MAX_HELLO = 255
_MAX_SIZE_DIGITS = 20  # RFC 1870 6
_MAX_ENVID = 100  # RFC 3461 4.4
_MAX_ORCPT = 500  # RFC 3461 5.4
_MAX_SUBMITTER = 500  # RFC 4954 5
_MAX_KEYWORD = 40
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 4
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\}|[^\x00-\x7f])*")  # RFC 6533 3
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")

Parameters = dict[str, str]


class Malformed(Exception):
    """Raised for a command that cannot be read; `reply` shows how to write it.

    `hopeless`: the place of the next command is unknown. `attack`: only attackers send such a command.
    """

    def __init__(self, reply: Reply, *, hopeless: bool = False, attack: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.hopeless = hopeless
        self.attack = attack


def parse_hello(argument: bytes, *, extended: bool) -> Hello:
    """Return the name that the client gives itself. Many have no proper one: it is bounded and printable, not checked.

    A caller that writes it into a field or a log makes it harmless.
    """
    name = argument.decode("utf-8", "replace")
    if not name or len(argument) > _MAX_HELLO or not name.replace("\ufffd", "?").isprintable():
        raise Malformed(replies.BAD_HELLO)
    return Hello(name, extended)


def parse_mail(argument: bytes, *, auth: bool, dsn: bool = True) -> MailFrom:
    """Parse MAIL. `auth`, `dsn`: their parameters are known. Only milters see the value of AUTH, the submitter."""
    path, parameters = _path(argument, b"FROM", replies.BAD_MAIL)
    if not parameters:
        return MailFrom(_reverse_path(path, utf8=False))
    size, body_8bit, smtputf8, ret, envid, submitter = None, False, False, "", "", ""
    for name, value in parameters.items():
        if name == "SIZE" and value.isascii() and value.isdigit() and len(value) <= _MAX_SIZE_DIGITS:
            size = int(value)
        elif name == "BODY" and value.upper() in {"7BIT", "8BITMIME"}:
            body_8bit = value.upper() == "8BITMIME"
        elif name == "BODY" and value.upper() == "BINARYMIME":
            raise Malformed(replies.BINARYMIME_NOT_OFFERED)
        elif name == "SMTPUTF8" and not value:
            smtputf8 = True
        elif name == "RET" and dsn and value.upper() in {"FULL", "HDRS"}:
            ret = value.upper()
        elif name == "ENVID" and dsn:
            envid = _printable_xtext(name, value, _MAX_ENVID)
        elif name == "AUTH" and auth and (value == "<>" or _XTEXT.fullmatch(value)):
            submitter = _submitter(value)
        else:
            known = name in {"SIZE", "BODY", "SMTPUTF8"} or (name == "RET" and dsn) or (name == "AUTH" and auth)
            raise Malformed(replies.bad_parameter(name) if known else replies.unknown_parameter(name))
    return MailFrom(_reverse_path(path, utf8=smtputf8), size, body_8bit, smtputf8, ret, envid, submitter)


def _submitter(value: str) -> str:
    """Return the address in AUTH, decoded; blank for none, and for text that cannot be shown."""
    try:
        text = "" if value == "<>" else decode_xtext(value)
    except ValueError:
        return ""
    return text if text.isprintable() and len(text) <= _MAX_SUBMITTER else ""


def parse_rcpt(argument: bytes, *, utf8: bool, dsn: bool = True) -> RcptTo:
    """Parse RCPT. `utf8`: MAIL had SMTPUTF8; `dsn`: NOTIFY and ORCPT are known."""
    path, parameters = _path(argument, b"TO", replies.BAD_RCPT)
    forward_path = _forward_path(path, utf8=utf8)
    if not parameters:
        return RcptTo(forward_path)
    notify, orcpt = frozenset[str](), ""
    for name, value in parameters.items():
        if name == "NOTIFY" and dsn:
            notify = _notify(value)
        elif name == "ORCPT" and dsn:
            orcpt = _original_recipient(value, utf8=utf8)
        else:
            raise Malformed(replies.unknown_parameter(name))
    return RcptTo(forward_path, notify, orcpt)


def parse_bdat(argument: bytes) -> tuple[int, bool]:
    """Return the size of the chunk, and True if it is the last (RFC 3030 2)."""
    words = argument.upper().split()
    if (
        not 1 <= len(words) <= 2
        or not words[0].isdigit()
        or len(words[0]) > _MAX_SIZE_DIGITS
        or words[1:] not in ([], [b"LAST"])
    ):
        raise Malformed(replies.BAD_BDAT, hopeless=True)  # content follows, of unknown size
    return int(words[0]), len(words) == 2


def parse_auth(argument: bytes, mechanisms: tuple[str, ...]) -> Auth:
    """Parse AUTH. An initial response of `=` is an empty one (RFC 4954 4)."""
    words = argument.split()
    if not 1 <= len(words) <= 2:
        raise Malformed(replies.ARGUMENT_MISSING)
    mechanism = words[0].decode("ascii").upper()
    if mechanism not in mechanisms:
        raise Malformed(replies.UNKNOWN_MECHANISM)
    if len(words) == 1:
        return Auth(mechanism, None)
    return Auth(mechanism, b"" if words[1] == b"=" else base64_octets(words[1]))


def base64_octets(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Malformed(replies.BAD_BASE64) from None


def decode_xtext(text: str) -> str:
    """Return the text that an xtext encodes (RFC 3461 4). Raises ValueError, also if that is not UTF-8."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("no xtext")
    first, *rest = text.split("+")
    return (first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in rest)).decode()


def encode_xtext(text: str) -> str:
    return "".join(
        char if _XTEXT.fullmatch(char) else f"+{octet:02X}" for octet in text.encode() for char in [chr(octet)]
    )


def _path(argument: bytes, keyword: bytes, complaint: Reply) -> tuple[str, Parameters]:
    """Return the path without its angle brackets, and the parameters by their names in upper case.

    Blanks before and within the path, and a path without brackets, are wrong but common and unambiguous, so they are
    accepted.
    """
    name, colon, rest_of_line = argument.partition(b":")
    if not colon or name.rstrip(b" ").upper() != keyword:
        raise Malformed(complaint)
    try:
        text = rest_of_line.strip(b" ").decode()
    except UnicodeDecodeError:
        raise Malformed(replies.NOT_ASCII) from None
    if text.startswith("<"):
        end = _path_end(text, ">")
        if end < 0:
            raise Malformed(complaint)
        path, rest = text[1:end].strip(" "), text[end + 1 :]
        if " " in path and '"' not in path:
            for sign in "@.,:":  # RFC 822 let blanks stand there
                path = sign.join(part.strip(" ") for part in path.split(sign))
    else:
        end = _path_end(text, " ")
        path, rest = (text, "") if end < 0 else (text[:end], text[end:])
        if not path:
            raise Malformed(complaint)
    return path, _parameters(rest, complaint) if rest else {}


def _path_end(text: str, closing: str) -> int:
    """Return the place of the character that ends the path; one within quotes does not end it."""
    end = text.find(closing)
    if '"' not in (text[:end] if end >= 0 else text):
        return end
    quoted = escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = quoted
        elif char == '"':
            quoted = not quoted
        elif char == closing and not quoted:
            return index
    return -1


def _parameters(text: str, complaint: Reply) -> Parameters:
    parameters: Parameters = {}
    for word in text.split(" "):
        if not word:
            continue
        name, equals, value = word.partition("=")
        name = name.upper()
        if len(name) > _MAX_KEYWORD or not _KEYWORD.fullmatch(name):
            raise Malformed(complaint)
        if not value.isascii() and name != "ORCPT":
            raise Malformed(replies.NOT_ASCII)
        if name in parameters or (equals and not value) or not value.isprintable():
            raise Malformed(replies.bad_parameter(name))
        parameters[name] = value
    return parameters


def _reverse_path(path: str, *, utf8: bool) -> str:
    if not path:
        return NULL_SENDER
    try:
        return parse_path(path, utf8=utf8)
    except BadAddress:
        raise Malformed(_complaint(path, replies.BAD_SENDER_ADDRESS, utf8=utf8)) from None


def _forward_path(path: str, *, utf8: bool) -> str:
    if path.lower() == "postmaster":  # RFC 5321 4.5.1
        return "postmaster"
    try:
        return parse_path(path, utf8=utf8)
    except BadAddress:
        raise Malformed(_complaint(path, replies.BAD_RECIPIENT_ADDRESS, utf8=utf8)) from None


def _complaint(path: str, bad: Reply, *, utf8: bool) -> Reply:
    return bad if utf8 or path.isascii() else replies.UTF8_NOT_DECLARED


def _notify(value: str) -> frozenset[str]:
    """Return NEVER alone, or any of the others (RFC 3461 4.1)."""
    words = value.upper().split(",")
    if words == ["NEVER"] or (_NOTIFY.issuperset(words) and len(set(words)) == len(words)):
        return frozenset(words)
    raise Malformed(replies.bad_parameter("NOTIFY"))


def _original_recipient(value: str, *, utf8: bool) -> str:
    """Return `addr-type;address` as it came (RFC 3461 4.2). Its decoded text is printable, for it goes into headers."""
    kind, semicolon, address = value.partition(";")
    if len(value) > _MAX_ORCPT or not semicolon or not address or not _KEYWORD.fullmatch(kind):
        raise Malformed(replies.bad_parameter("ORCPT"))
    if kind.lower() == "utf-8" and (utf8 or address.isascii()):  # RFC 6533 3
        if not _UTF8_ADDRESS.fullmatch(address):
            raise Malformed(replies.bad_parameter("ORCPT"))
    else:
        _printable_xtext("ORCPT", address, _MAX_ORCPT)
    return value


def _printable_xtext(name: str, value: str, most: int) -> str:
    """Return the decoded text. It is written into headers of notifications, so it must not hold a line end."""
    try:
        text = decode_xtext(value)
    except ValueError:
        text = ""
    if not text or len(text) > most or not (text.isascii() and text.isprintable()):
        raise Malformed(replies.bad_parameter(name))
    return text
