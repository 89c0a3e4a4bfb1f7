"""How many system calls a message costs a server, by strace."""

import re
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.bench.measuring import run
from tests.bench.peer import Peer
from tests.bench.processes import tree
from tests.bench.sink import Sink
from tests.bench.workloads import Workload
from tests.tools import need
from tests.waiting import until

__all__ = ["GROUPS", "calls_per_message"]

GROUPS = {
    "all": "",
    "fsync": r"fsync|fdatasync",
    "begin to write": r"sync_file_range",
    "rename, link": r"rename.*|link|linkat",
    "open": r"open.*|creat",
    "unlink": r"unlink.*",
    "write": r"p?write.*",
    "recv, send": r"recv.*|send.*|read",
    "poll": r"poll|epoll.*|select|pselect.*|ppoll",
    "futex": r"futex",
    "fork": r"clone.*|v?fork|execve",
}
_ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


def calls_per_message(peer: Peer, sink: Sink, load: Workload) -> dict[str, float]:
    """By the names of `GROUPS`; the first messages, for which processes and folders are made, are not counted."""
    run(peer, sink, load)
    with tempfile.TemporaryDirectory() as folder:
        file, said = Path(folder, "counts"), Path(folder, "said")
        pids = [word for root in tree(peer.roots()) for word in ("-p", str(root))]
        with said.open("wb") as errors:
            tracer = subprocess.Popen([need("strace"), "-c", "-f", "-o", str(file), *pids], stderr=errors)
        try:
            # “attached”, or “attach: …” and why not: a child of ours may have ended meanwhile.
            until(lambda: said.read_text().count("attach") >= len(pids) // 2, 20, said.read_text)
            run(peer, sink, load)
            tracer.send_signal(signal.SIGINT)
            tracer.wait(60)
        finally:
            tracer.kill()
        rows = [(int(number), name) for number, name in _ROW.findall(file.read_text()) if name != "total"]
    return {
        group: sum(number for number, name in rows if not form or re.fullmatch(form, name)) / load.messages
        for group, form in GROUPS.items()
    }
