"""Kinds of plain values: yes or no, numbers, durations, sizes, words, texts and file names."""

import re
import shlex
from datetime import timedelta

from smtpd_classic.config.kind import MASK, Kind, one_line

__all__ = [
    "BOOLEAN",
    "COMMAND",
    "DURATION",
    "FACTOR",
    "FIELD_NAME",
    "JUNK_FOLDER",
    "LOG_TARGET",
    "OPTIONAL_PATH",
    "PATH",
    "PORT",
    "POSITIVE_DURATION",
    "SECRET",
    "SIZE",
    "SYSTEM_USER",
    "TEXT",
    "WORD",
    "choice",
    "number",
    "optional_number",
    "whole_number",
]


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in {"yes", "on", "true", "1"}:
        return True
    if word in {"no", "off", "false", "0"}:
        return False
    raise ValueError(f"“{text}” is neither yes nor no.")


BOOLEAN = Kind("yes or no", _boolean, lambda value: "yes" if value else "no", "yes", choices=("yes", "no"))


def whole_number(text: str, least: int, most: int) -> int:
    """Raises ValueError with a sentence."""
    word = text.strip()
    # int() alone would take 1_000 and the digits of every script.
    if not re.fullmatch(r"[+-]?\d{1,15}", word, re.ASCII):
        raise ValueError(f"“{text}” is not a whole number from {least} to {most}.")
    value = int(word)
    if not least <= value <= most:
        raise ValueError(f"{value} is not between {least} and {most}.")
    return value


def number(least: int, most: int) -> Kind[int]:
    return Kind(
        f"number from {least} to {most}",
        lambda text: whole_number(text, least, most),
        str,
        str(max(least, min(100, most))),
    )


def optional_number(least: int, most: int) -> Kind[int | None]:
    """A number that may be left blank (None)."""
    return Kind(
        f"number from {least} to {most}, or blank",
        lambda text: whole_number(text, least, most) if text.strip() else None,
        lambda value: "" if value is None else str(value),
        str(max(least, min(3, most))),
    )


PORT = Kind("port number", lambda text: whole_number(text, 1, 65535), str, "25")


def _factor(text: str) -> float:
    word = text.strip()
    if not re.fullmatch(r"\d{1,2}(\.\d{1,4})?", word, re.ASCII):
        raise ValueError(f"“{text}” is not a factor from 1 to 10, such as 1.5.")
    if not 1 <= float(word) <= 10:
        raise ValueError(f"{word} is not between 1 and 10.")
    return float(word)


FACTOR = Kind("factor from 1 to 10", _factor, lambda value: f"{value:g}", "2")


def choice(*words: str) -> Kind[str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"“{text}” is none of {', '.join(words)}.")
        return word

    return Kind("one of " + ", ".join(words), parse, str, words[0], choices=words)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TEN_YEARS = 10 * 365 * 86400


def _duration(text: str) -> timedelta:
    stripped = text.strip().lower()
    if stripped == "0":
        return timedelta(0)
    if not re.fullmatch(r"(\d{1,9}\s*[smhdw]\s*)+", stripped, re.ASCII):
        raise ValueError(f"“{text}” is not a duration: write a number and s, m, h, d or w, as in 30m, 4h or 5d.")
    total = sum(int(amount) * _SECONDS[unit] for amount, unit in re.findall(r"(\d+)\s*([smhdw])", stripped))
    if total > _TEN_YEARS:
        raise ValueError(f"“{text}” is longer than ten years.")
    return timedelta(seconds=total)


def _positive_duration(text: str) -> timedelta:
    value = _duration(text)
    if not value:
        raise ValueError("0 is too short; the shortest is 1s.")
    return value


def _duration_text(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    if seconds == 0:
        return "0"
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


DURATION = Kind("duration", _duration, _duration_text, "30m")
POSITIVE_DURATION = Kind("duration above 0", _positive_duration, _duration_text, "30m")

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([kKmMgGtT]?)[iI]?[bB]?", text.strip(), re.ASCII)
    if not match:
        raise ValueError(f"“{text}” is not a size: write bytes, or a number and K, M or G, as in 25M.")
    return int(match[1]) * _UNITS[match[2].upper()]


def _size_text(value: int) -> str:
    for unit in ("T", "G", "M", "K"):
        if value and value % _UNITS[unit] == 0 and len(str(value // _UNITS[unit])) <= 15:
            return f"{value // _UNITS[unit]}{unit}"
    return str(value)


SIZE = Kind("size", _size, _size_text, "25M")
TEXT = Kind("text", one_line, str, "text")
SECRET = Kind("secret", one_line, str, "a password", mask=lambda text: MASK if text else "")


def _command(text: str) -> str:
    command = text.strip()  # first, for it may leave a backslash at the end
    try:
        shlex.split(one_line(command))
    except ValueError:
        raise ValueError("a quotation mark is not closed, or a control character is in the command.") from None
    return command


COMMAND = Kind("program and arguments", _command, str, "/usr/local/bin/token --account relay")


def _path(text: str) -> str:
    if not text.strip():
        raise ValueError("a file name is missing.")
    return one_line(text.strip())


PATH = Kind("path", _path, str, "/etc/smtpd-classic/users")
OPTIONAL_PATH = Kind(
    "path, or blank", lambda text: _path(text) if text.strip() else "", str, "/run/secrets/relay_password"
)


def _junk_folder(text: str) -> str:
    name = text.strip()
    if name and not re.fullmatch(r"\.[^\s./\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,60}", name):
        raise ValueError(f"“{text}” is not the name of a Maildir++ folder, such as .Junk.")
    return name


JUNK_FOLDER = Kind("name of a Maildir++ folder, or blank", _junk_folder, str, ".Junk")


def _field_name(text: str) -> str:
    name = text.strip()
    if not re.fullmatch(r"[!-9;-~]{0,100}", name):
        raise ValueError(f"“{text}” is not the name of a header field, such as X-Spam.")
    return name


FIELD_NAME = Kind("name of a header field, or blank", _field_name, str, "X-Spam")


def _log_target(text: str) -> str:
    word = text.strip()
    if word.lower() in {"syslog", "stderr"}:
        return word.lower()
    if word.startswith("/"):
        return one_line(word)
    raise ValueError(f"“{text}” is neither syslog, nor stderr, nor an absolute file name.")


LOG_TARGET = Kind("syslog, stderr or a file name", _log_target, str, "syslog")


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text.strip()):
        raise ValueError(f"“{text}” is not a name of up to 32 letters, digits, “-” and “_”.")
    return text.strip()


WORD = Kind("word of letters, digits, “-” and “_”", _word, str, "smtp")


def _system_user(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", text.strip()):
        raise ValueError(f"“{text}” is not the name of a system user, such as smtpdc.")
    return text.strip()


SYSTEM_USER = Kind("system user", _system_user, str, "smtpdc")
