"""Explains a decision outside of the daemon: the files are read as the daemon reads them, its checks are asked.

It works without a running daemon and without the right to write.
"""

import sys
import time
from dataclasses import replace

from smtpd_classic.accounts import Accounts
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import DnsResolver, Resolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.policy.explain import Explanation, Question, explain, likely_listener
from smtpd_classic.runtime import Runtime
from smtpd_classic.services import Services
from spool import Spool, SpoolBroken

__all__ = ["Explanation", "NoSuchListener", "Question", "explanation"]


class NoSuchListener(Exception):
    """There is no listener of that name."""


def explanation(config: Config, question: Question, listener: str = "", *, dns: Resolver | None = None) -> Explanation:
    """A blank `listener`: the one that such a client would use. Raises NoSuchListener."""
    services = Services(
        config=config,
        accounts=Accounts(config),
        dns=dns or DnsResolver(config.server.name_servers),
        runtime=Runtime(config.server.run_folder, config.access),
        spool=Spool(config.server.spool_folder),
        mail_store=MailStore(config.server.mail_folder, config.helo_name),
        log=Log("stderr"),
        clock=time.time,
    )
    found = likely_listener(config, login=bool(question.login))
    if listener:
        named = next((each for each in config.listeners if each.name == listener), None)
        if named is None:
            raise NoSuchListener(listener)
        found = named
    rules = services.policy(found).rules
    facts = services.facts._replace(free_bytes=lambda: _free_bytes(services))
    return explain(replace(rules, facts=facts), question)


def _free_bytes(services: Services) -> int:
    """Plenty where the spool has not been made yet, or is not ours to look into: that is no decision of the policy."""
    try:
        return services.facts.free_bytes()
    except (SpoolBroken, OSError):
        return sys.maxsize
