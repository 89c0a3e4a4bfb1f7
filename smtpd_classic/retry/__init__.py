"""The retry thread: everything that happens to a message between the spool and its last recipient."""

from smtpd_classic.retry.thread import RetryThread, network_for

__all__ = ["RetryThread", "network_for"]
