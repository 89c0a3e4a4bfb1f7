"""The socket for local submission: a listener that no configuration names, at which every user of this machine may
speak SMTP. The kernel says who it is.
"""

import os
import socket
import stat
import struct
from contextlib import suppress

__all__ = ["bind", "peer_uid", "unbind"]

_BACKLOG = 511
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_LONGEST_PATH = 107  # sun_path (unix(7)), less its NUL


def bind(path: str, mode: int = 0o666) -> socket.socket:
    """Return the listening socket, open to all users by default. The caller holds the lock of the instance.

    Raises OSError.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{folder}/{os.path.basename(path)}"
        found.bind(path if len(os.fsencode(path)) <= _LONGEST_PATH else short)
        os.chmod(path, mode)
        found.listen(_BACKLOG)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    finally:
        os.close(folder)
    return found


def unbind(path: str) -> None:
    """Remove the socket, as the last step under the lock."""
    with suppress(OSError):
        os.unlink(path)


def peer_uid(connection: socket.socket) -> int:
    """Return the user at the other end. Raises OSError."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(packed)[1]
    return uid & 0xFFFFFFFF
