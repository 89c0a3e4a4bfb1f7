"""What is said to a host, given what it has announced: the content it can take, and MAIL and RCPT with their
parameters.
"""

import re

from smtpd_classic.client.content import ContentFacts, MessageContent
from smtpd_classic.client.downgrade import CannotDowngrade, seven_bit
from smtpd_classic.client.transport import DeliveryJob, JobRecipient
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.client import Offered
from smtpd_classic.smtp.reply import Reply

__all__ = ["fitting", "mail_command", "rcpt_command"]

_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fitting(job: DeliveryJob, offered: Offered, host: str) -> MessageContent | Reply:
    """The content as this host can take it, or why it never will, in our own words."""
    facts = job.content.facts()
    if _needs_utf8(job, offered, facts) and not offered.smtputf8:
        return Reply(554, "5.6.7", f"{host} does not take internationalised addresses (SMTPUTF8)")
    if offered.size and facts.size > offered.size:
        return Reply(554, "5.3.4", f"{host} takes at most {offered.size} octets, and the message has {facts.size}")
    if facts.eight_bit and not offered.eight_bit_mime:
        try:
            return MessageContent.of(seven_bit(job.content.whole()))
        except CannotDowngrade as problem:
            return Reply(554, "5.6.3", f"{host} takes 7-bit mail only, and {problem}")
    return job.content


def mail_command(job: DeliveryJob, content: MessageContent, offered: Offered) -> str:
    facts = content.facts()
    words = [f"MAIL FROM:<{_path(job.sender, offered)}>"]
    if offered.has_size:
        words.append(f"SIZE={facts.size}")
    if facts.eight_bit and offered.eight_bit_mime:
        words.append("BODY=8BITMIME")
    if _needs_utf8(job, offered, facts):
        words.append("SMTPUTF8")
    if offered.dsn and job.ret:
        words.append(f"RET={job.ret}")
    if offered.dsn and job.envid:
        words.append(f"ENVID={_xtext(job.envid)}")
    return " ".join(words)


def rcpt_command(recipient: JobRecipient, offered: Offered) -> str:
    words = [f"RCPT TO:<{_path(recipient.address, offered)}>"]
    if offered.dsn and recipient.notify:
        words.append(f"NOTIFY={','.join(sorted(recipient.notify))}")
    if offered.dsn and recipient.orcpt:
        words.append(f"ORCPT={_clean(recipient.orcpt)}")
    return " ".join(words)


def _needs_utf8(job: DeliveryJob, offered: Offered, facts: ContentFacts) -> bool:
    """Whether it was declared and is really needed: many declare it just in case."""
    if not job.smtputf8:
        return False
    paths = (job.sender, *(recipient.address for recipient in job.recipients))
    return facts.header_8bit or any(not _path(path, offered).isascii() for path in paths)


def _path(address: str, offered: Offered) -> str:
    """The address as the host can read it: without SMTPUTF8 the domain is written in ASCII."""
    address = _clean(address)
    if address.isascii() or offered.smtputf8:
        return address
    local, domain = split_address(address)
    try:
        return f"{local}@{ascii_domain(domain)}"
    except ValueError:
        return address


def _clean(text: str) -> str:
    """Without what could end the command; an address with such a thing in it cannot have been accepted."""
    return _CONTROL.sub("?", text)


def _xtext(text: str) -> str:
    """RFC 3461 4."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]) & 0xFF:02X}", text)
