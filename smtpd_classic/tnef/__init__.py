"""Outlook's winmail.dat (MS-TNEF) into plain MIME parts.

The rule of this package: if anything fails, the message is delivered exactly as it came, and the log says so. A 48-byte
file can make the decoder ask for gigabytes, so it runs in a process of its own, with bounds on memory, time and size.
Only the part that holds TNEF is replaced, every other byte stays.
"""

import subprocess
import sys
from collections.abc import Callable

from smtpd_classic.tnef.mime import MAX_SIZE, TnefPart, find_tnef

__all__ = ["convert", "suspect"]

TIMEOUT_S = 30.0
_MARKS = (b"ms-tnef", b"winmail.dat")


def suspect(content: bytes) -> bool:
    """Return False only if a piece of a message shows no sign of TNEF; cheap.

    Pieces must overlap by 16 bytes, or the words may be cut in two.
    """
    return any(mark in lowered for lowered in (content.lower(),) for mark in _MARKS)


def convert(content: bytes, complain: Callable[[str], None], *, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """Return the message (LF line ends) with its TNEF parts replaced, or None when it is to be delivered as it is.

    `complain` gets a sentence for the log about TNEF that could not be converted.
    """
    found = find_tnef(content, lambda words: complain(f"MS-TNEF left as it came: {words}"))
    if not found:
        return None
    pieces: list[bytes] = []
    done = 0
    for part in found:
        try:
            replacement = _decode(part, timeout_s)
        except (OSError, ValueError, subprocess.SubprocessError) as problem:
            complain(f"MS-TNEF left as it came: {problem}")
            return None
        pieces += [content[done : part.start], replacement]
        done = part.end
    pieces.append(content[done:])
    return b"".join(pieces)


def _decode(part: TnefPart, timeout_s: float) -> bytes:
    """Run the decoder on one part. Raises ValueError with its sentence when it gave up."""
    text = b"" if part.text is None else part.text.encode("utf-8", "replace")
    mode = "alone" if part.text is None else str(len(text))
    # -I: neither the environment nor the working folder can slip a module under the decoder.
    command = [sys.executable, "-I", "-m", "smtpd_classic.tnef.worker", mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True
    ) as child:
        try:
            made, said = child.communicate(text + part.tnef, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise ValueError(f"the decoder took longer than {timeout_s:g} seconds.") from None
    if child.returncode != 0 or not made or len(made) > 2 * MAX_SIZE:
        words = said.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(words[-1][:200] if words else f"the decoder ended with {child.returncode}.")
    return part.kept_headers + made
