"""Tells a configuration that a package made, with a guessed domain, from one that an administrator has applied.

The package ends its file with a marker: a comment with the digest of all the text before it. Every change makes the
digest wrong, by an editor or by hand, and so does every change of the digest.
"""

import hashlib

__all__ = ["is_untouched", "marked"]

_MARK = "# Made by the installation, and not looked at yet: "


def marked(text: str) -> str:
    """Return the text with the marker behind it."""
    return f"{text}{_MARK}{_digest(text)}\n"


def is_untouched(path: str) -> bool:
    """Return True if the file is as the package made it. False too for one that cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return False
    before, found, digest = text.rpartition(_MARK)
    return bool(found) and digest.strip() == _digest(before)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    """Mark the file that the first argument names."""
    import sys  # noqa: PLC0415

    from smtpd_classic import atomic_file  # noqa: PLC0415

    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    atomic_file.replace(path, marked(text).encode())


if __name__ == "__main__":
    main()
