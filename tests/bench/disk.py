"""A fresh journalled file system for all servers of a run: the folder of the machine may have no journal at all."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["fresh_disk"]

_SIZE = 20 * 1024**3  # sparse: nothing is removed between two measurements


@contextlib.contextmanager
def fresh_disk() -> Iterator[tuple[Path, str]]:
    """A folder to work in, and in words what it is on: an ext4 image with a journal, or else a plain folder."""
    base = Path(tempfile.mkdtemp(prefix="smtpd-classic-bench-"))
    base.chmod(0o755)
    image, folder = base / "image", base / "disk"
    folder.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(_SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield folder, f"the plain folder {folder} (no loop mount is allowed here)"
        return
    try:
        yield folder, "a fresh ext4 image with a journal, loop-mounted"
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()
