"""Explains a decision outside of the daemon: the files are read as the daemon reads them, its checks are asked.

It works without a running daemon and without the right to write.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from smtpd_classic.accounts import Accounts
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import DnsResolver, Resolver
from smtpd_classic.filters.attachments import first_with_ending
from smtpd_classic.filters.rules import PreparedRule, message_view, rules_met
from smtpd_classic.log import Log
from smtpd_classic.mailauth.message_check import MessageCheck
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.policy import Client, ClientContext, Rules, Transaction
from smtpd_classic.policy.authentication import MARK, lookups_of, spf_of, verdict_on
from smtpd_classic.policy.explain import Explanation, Question, explain, likely_listener
from smtpd_classic.policy.rules import Verify, no_verifier
from smtpd_classic.policy.transaction import AuthenticationVerdict
from smtpd_classic.runtime import Runtime
from smtpd_classic.services import Services
from spool import Spool, SpoolBroken

__all__ = [
    "Explanation",
    "NoSuchListener",
    "Question",
    "authentication_of",
    "blocked_attachment_of",
    "explanation",
    "filter_rules_of",
]


class NoSuchListener(Exception):
    """There is no listener of that name."""


def explanation(config: Config, question: Question, listener: str = "", *, dns: Resolver | None = None) -> Explanation:
    """A blank `listener`: the one that such a client would use. Raises NoSuchListener."""
    return explain(_rules(config, question, listener, dns), question)


def authentication_of(
    config: Config, question: Question, content: bytes, *, dns: Resolver | None = None
) -> AuthenticationVerdict:
    """Return the results of SPF, DKIM and DMARC for a message as the server would get it, and its action.

    The results have no effect for a client whose mail the server does not check.
    """
    rules = _rules(config, question, "", dns)
    client = Client(question.ip, 0, rules.dns.host_name(question.ip) or "unknown", rules.listener)
    transaction = Transaction(ClientContext(client, rules, hello=question.hello), rules, question.sender)
    content = content.replace(b"\r\n", b"\n")
    end = end_of_header_block(content)
    header, body = (content, b"") if end < 0 else (content[:end], content[end + 1 :])
    check = MessageCheck(HeaderBlock(header), spf_of(transaction), lookups_of(transaction), int(time.time()))
    check.update(body)
    verdict = verdict_on(transaction, check.finish())
    if config.authentication.check and not _originates_here(rules, question):
        return verdict
    return verdict._replace(action=MARK, reason="the mail of this client is not checked", reply=None)


def filter_rules_of(config: Config, question: Question, content: bytes) -> tuple[PreparedRule, ...]:
    """Return the filter rules that a message meets."""
    rules = _rules(config, question, "", None)
    recipients = (question.recipient,) if question.recipient else ()
    message = message_view(content, question.ip, question.sender, recipients)
    return rules_met(rules.filter.rules, message, originates_here=_originates_here(rules, question))


def blocked_attachment_of(config: Config, question: Question, content: bytes) -> str:
    """Return the name of the first file in a message that `block_attachments` forbids this client; blank if there is
    none."""
    if not config.filter.block_attachments or _originates_here(_rules(config, question, "", None), question):
        return ""
    names = message_view(content, question.ip, question.sender, ()).attachments
    return first_with_ending(names, config.filter.block_attachments)


def _originates_here(rules: Rules, question: Question) -> bool:
    client = Client(question.ip, 0, "unknown", rules.listener)
    return bool(question.login) or ClientContext(client, rules).originates_here


def _rules(config: Config, question: Question, listener: str, dns: Resolver | None) -> Rules:
    dns = dns or DnsResolver(config.server.name_servers)

    verifier: Callable[..., Verify] = no_verifier
    if config.verifies_recipients:
        from smtpd_classic.client.verifier import verifications  # noqa: PLC0415 - not loaded without the option

        verifier = partial(verifications, config, dns, lambda sentence: None)
    services = Services(
        config=config,
        accounts=Accounts(config),
        dns=dns,
        runtime=Runtime(config.server.run_folder, config.access),
        spool=Spool(config.server.spool_folder),
        mail_store=MailStore(config.server.mail_folder, config.helo_name),
        log=Log("stderr"),
        clock=time.time,
        verifier=verifier,
    )
    found = likely_listener(config, login=bool(question.login))
    if listener:
        named = next((each for each in config.listeners if each.name == listener), None)
        if named is None:
            raise NoSuchListener(listener)
        found = named
    rules = services.policy(found).rules
    sources = services.sources._replace(free_bytes=lambda: _free_bytes(services))
    return replace(rules, sources=sources)


def _free_bytes(services: Services) -> int:
    """Plenty where the spool has not been made yet, or is not ours to look into: that is no decision of the policy."""
    try:
        return services.sources.free_bytes()
    except (SpoolBroken, OSError):
        return sys.maxsize
