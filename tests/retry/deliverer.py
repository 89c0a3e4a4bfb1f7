"""A process that does nothing but deliver what is queued in a folder: `python -m tests.retry.deliverer FOLDER IP
PORT`.
"""

import signal
import sys
import time
from pathlib import Path

from tests.retry.world import World

__all__ = ["CONNECTIONS"]

CONNECTIONS = 10  # to one host: what is in flight when it is killed, and what it holds in memory at once


def main(folder: str, ip: str, port: str) -> int:
    world = World(
        Path(folder),
        text=f"[remote]\nmax_connections_per_host = {CONNECTIONS}\n",
        mx={"example.org": [(1, "mx.example.org")]},
        addresses={"mx.example.org": [ip]},
        port=int(port),
    )
    world.clock.now = time.time()
    world.start()
    print("started", flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
