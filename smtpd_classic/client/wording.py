"""The content in the form for a host, and MAIL and RCPT with their parameters, by the host's extensions."""

import re
from collections.abc import Callable
from contextlib import suppress

from smtpd_classic.client.content import ContentFacts, MessageContent, folded
from smtpd_classic.client.downgrade import CannotDowngrade, ContentLimits, converted, converted_notice, quoting_header
from smtpd_classic.client.transport import DeliveryJob, JobRecipient
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.client import Offered
from smtpd_classic.smtp.reply import Reply

__all__ = ["compatible", "mail_command", "rcpt_command", "unreadable", "windows", "written_path"]

_USUAL_ADDRESS = re.compile(r"[\w+=-]+(?:\.[\w+=-]+)*@[\w.-]+", re.ASCII)  # it is written as it is
_WINDOW = 8 * 1024  # octets of pipelined commands, so that neither side waits for the other to read
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def compatible(job: DeliveryJob, offered: Offered, host: str) -> MessageContent | Reply:
    """Return the content in a form for this host, or, in our own words, the reason why there is none.

    Mail of others is unchanged, unless the host takes 7-bit mail alone. Mail that originates here is converted: UTF-8
    in header fields for a host without SMTPUTF8, and lines that are too long. A notice of ours that is too big quotes
    the header alone.
    """
    content, ours = job.content, job.originates_here
    facts = content.facts()
    if not offered.smtputf8:
        if not written_path(job.sender, offered).isascii():
            return _not_accepted(job.sender, host)
        if job.smtputf8 and facts.header_8bit and not ours:
            return Reply(
                554, "5.6.9", f"{host} accepts no UTF-8 in header fields (SMTPUTF8), and this message has some"
            )
    if job.notice and 0 < offered.size < facts.size:
        content = MessageContent.of(quoting_header(content.whole()))
        facts = content.facts()
    if 0 < offered.size < facts.size:
        return Reply(554, "5.3.4", f"{host} takes at most {offered.size} octets, and the message has {facts.size}")
    seven_bit = facts.eight_bit and not offered.eight_bit_mime
    utf8_header = facts.header_8bit and ours and (seven_bit or (job.smtputf8 and not offered.smtputf8))
    limits = ContentLimits(seven_bit, utf8_header, ours and facts.long_lines)
    if not any(limits):
        return content
    return _converted(content, limits, host, converted_notice if job.notice else converted)


def unreadable(job: DeliveryJob, offered: Offered, host: str) -> dict[str, Reply]:
    """Return a reply, in our own words, for each recipient that cannot be named to a host without SMTPUTF8."""
    if offered.smtputf8:
        return {}
    addresses = [each.address for each in job.recipients if not each.address.isascii()]
    return {each: _not_accepted(each, host) for each in addresses if not written_path(each, offered).isascii()}


def _not_accepted(address: str, host: str) -> Reply:
    return Reply(554, "5.6.7", f"{host} accepts no internationalised addresses (SMTPUTF8) such as {address}")


def _converted(
    content: MessageContent, limits: ContentLimits, host: str, convert: Callable[[bytes, ContentLimits], bytes]
) -> MessageContent | Reply:
    try:
        return MessageContent.of(b"".join(folded([convert(content.whole(), limits)])))
    except CannotDowngrade as problem:
        if limits.seven_bit:
            return Reply(554, "5.6.3", f"{host} takes 7-bit mail only, and {problem}")
        if limits.ascii_header:
            return Reply(554, "5.6.9", f"{host} accepts no UTF-8 in header fields (SMTPUTF8), and {problem}")
        return content  # its long lines are folded on the way


def mail_command(job: DeliveryJob, content: MessageContent, offered: Offered) -> str:
    facts = content.facts()
    words = [f"MAIL FROM:<{written_path(job.sender, offered)}>"]
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
    words = [f"RCPT TO:<{written_path(recipient.address, offered)}>"]
    if offered.dsn and recipient.notify:
        words.append(f"NOTIFY={','.join(sorted(recipient.notify))}")
    if offered.dsn and recipient.orcpt:
        words.append(f"ORCPT={_original_recipient(recipient.orcpt)}")
    return " ".join(words)


def _original_recipient(orcpt: str) -> str:
    """Return the original recipient in the 7-bit form of its address, which every host with DSN takes (RFC 6533 3)."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in _clean(orcpt))


def _paths(job: DeliveryJob) -> tuple[str, ...]:
    return (job.sender, *(recipient.address for recipient in job.recipients))


def _needs_utf8(job: DeliveryJob, offered: Offered, facts: ContentFacts) -> bool:
    """Return True if the extension is offered and needed; many clients declare it for every message."""
    if not offered.smtputf8:
        return False
    return (job.smtputf8 and facts.header_8bit) or any(
        not (path.isascii() or written_path(path, offered).isascii()) for path in _paths(job)
    )


def written_path(address: str, offered: Offered) -> str:
    """Return the address in a form that the host can read.

    Without SMTPUTF8 the domain is written in ASCII. A local part with dots at odd places is quoted (RFC 5321 4.1.2).
    """
    if _USUAL_ADDRESS.fullmatch(address):
        return address
    local, domain = split_address(_clean(address))
    if not local.startswith('"') and "" in local.split(".") and local:
        local = f'"{local}"'
    if not domain:
        return local
    if not domain.isascii() and not offered.smtputf8:
        with suppress(ValueError):
            domain = ascii_domain(domain)
    return f"{local}@{domain}"


def _clean(text: str) -> str:
    """Replace control characters, which could end the command; no accepted address has one."""
    return _CONTROL.sub("?", text)


def _xtext(text: str) -> str:
    """Return the text as xtext (RFC 3461 4)."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]) & 0xFF:02X}", text)


def windows(commands: list[str]) -> list[list[int]]:
    """Return the numbers of the commands to send together (RFC 2920 3.1); DATA is the last of the last group."""
    if sum(map(len, commands)) < _WINDOW:  # the usual case
        return [list(range(len(commands)))]
    groups: list[list[int]] = []
    size = _WINDOW
    for number, command in enumerate(commands):
        if size + len(command) >= _WINDOW:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += len(command)
    return groups
