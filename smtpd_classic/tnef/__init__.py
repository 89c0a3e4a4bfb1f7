"""Outlook's winmail.dat (MS-TNEF) into plain MIME parts.

The law of this package: whatever fails, the message is delivered exactly as it came. A decoder that a 48-byte file
can make ask for gigabytes runs in a process of its own, with bounds on memory, time and size; only the part that holds
TNEF is cut out and replaced, every other byte stays.
"""

import subprocess
import sys
from collections.abc import Callable

from smtpd_classic.tnef.mime import MAX_SIZE, find_tnef

__all__ = ["convert", "suspect"]

TIMEOUT_S = 30.0
_MARKS = (b"ms-tnef", b"winmail.dat")


def suspect(content: bytes) -> bool:
    """Whether a piece of a message may belong to one with TNEF in it. Cheap, and wrong only on the safe side.

    Feed it pieces that overlap by 16 bytes, or the words may be cut in two.
    """
    return any(mark in lowered for lowered in (content.lower(),) for mark in _MARKS)


def convert(content: bytes, complain: Callable[[str], None], *, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """The message (LF line ends) with its TNEF parts replaced, or None when it is to be delivered as it is.

    `complain` gets one sentence when there was TNEF that could not be converted.
    """
    found = find_tnef(content)
    if not found:
        return None
    pieces: list[bytes] = []
    done = 0
    for part in found:
        try:
            replacement = _decode(part.tnef, part.kept_headers, alone=part.alone, timeout_s=timeout_s)
        except (OSError, ValueError, subprocess.SubprocessError) as problem:
            complain(f"MS-TNEF left as it came: {problem}")
            return None
        pieces += [content[done : part.start], replacement]
        done = part.end
    pieces.append(content[done:])
    return b"".join(pieces)


def _decode(tnef: bytes, kept_headers: bytes, *, alone: bool, timeout_s: float) -> bytes:
    """Run the decoder on one part. Raises ValueError with its sentence when it gave up."""
    mode = "alone" if alone else "beside"
    # -I: neither the environment nor the working folder can slip a module under the decoder.
    command = [sys.executable, "-I", "-m", "smtpd_classic.tnef.worker", mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True
    ) as child:
        try:
            made, said = child.communicate(tnef, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise ValueError(f"the decoder took longer than {timeout_s:g} seconds.") from None
    if child.returncode != 0 or not made or len(made) > 2 * MAX_SIZE:
        words = said.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(words[-1][:200] if words else f"the decoder ended with {child.returncode}.")
    return kept_headers + made
