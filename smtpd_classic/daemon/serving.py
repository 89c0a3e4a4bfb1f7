"""The server as a whole, from its start to its end."""

import gc
from collections.abc import Callable

from smtpd_classic.daemon.children import deliver, receive, sweep
from smtpd_classic.daemon.instance import Instance
from smtpd_classic.daemon.startup import CannotStart, start, workers
from smtpd_classic.daemon.supervisor import Life, Supervisor

__all__ = ["CannotStart", "run"]

# Nearly all objects of a message end by their count of references. With Python's own threshold (700) the collector
# would run at each second message, and find none.
_GARBAGE_THRESHOLD = 10_000


def run(path: str, announce: Callable[[Instance, tuple[str, ...]], None]) -> int:
    """Serve until SIGTERM; the exit status. Raises CannotStart.

    `announce` is called when the ports are open and root is given up, with warnings for the administrator.
    """
    started = start(path)
    instance = Instance(started)
    for sentence in started.warnings:
        started.log.warning("master", sentence)
    announce(instance, started.warnings)
    started.log.write("master", f"daemon started -- version {instance.status.version}, configuration {path}")
    try:
        status = _serve(instance, workers(started.config))
        started.log.write("master", "daemon stopped")
    finally:
        instance.close()
    return status


def _serve(instance: Instance, receivers: int) -> int:
    gc.set_threshold(_GARBAGE_THRESHOLD)
    if receivers == 1:
        # Here, because it imports the delivery too, which the start of several processes does not need.
        from smtpd_classic.daemon.single import Single  # noqa: PLC0415

        return Single(instance).run()
    lives: dict[str, Life] = {"receiver": receive, "delivery": deliver}
    return Supervisor(instance, lives, ["receiver"] * receivers + ["delivery"], sweep).run()
