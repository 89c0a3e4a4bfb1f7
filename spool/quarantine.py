"""The folder quarantine/, for files in the spool that are no messages.

They are moved there and reported, never removed: an administrator may know their use.
"""

import os
from collections.abc import Callable

from spool.disk import Folders

__all__ = ["set_aside"]


def set_aside(folders: Folders, path: str, why: object, complain: Callable[[str], None]) -> None:
    """Move a file or folder to quarantine/, and report it. If it cannot be moved it stays, and the report contains
    that.
    """
    name = os.path.relpath(path, os.path.dirname(folders.quarantine)).replace("/", ".")
    target = f"{folders.quarantine}/{name}"
    number = 0
    while os.path.lexists(target):
        number += 1
        target = f"{folders.quarantine}/{name}.{number}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return
    except OSError as error:
        complain(f"{path}: {why}; it could not be moved to {target}: {error.strerror}")
    else:
        complain(f"{path}: {why}; moved to {target}")
