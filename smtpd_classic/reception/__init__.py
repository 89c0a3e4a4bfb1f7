"""The answers to the events of one session: policy, login, content, queue id."""

from smtpd_classic.policy import Client
from smtpd_classic.reception.reception import Reception

__all__ = ["Client", "Reception"]
