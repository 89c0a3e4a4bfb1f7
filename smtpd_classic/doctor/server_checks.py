"""Checks of the running server: its file, listeners, accounts and keys, its certificate for others, its visitors."""

import os
import re
import ssl
import stat
from collections.abc import Iterator
from datetime import datetime

from smtpd_classic.accounts import Accounts
from smtpd_classic.config.check import check
from smtpd_classic.doctor.finding import CheckResult, Examination, good, unknown, wrong
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.runtime import StatusFile
from smtpd_classic.runtime.last_backup import last_backup
from spool import Spool, SpoolBroken

__all__ = [
    "accounts",
    "backup",
    "certificate_chain",
    "certificate_name",
    "configuration",
    "held",
    "key_files",
    "listeners",
    "port_25_in",
]

_DAY_S = 86_400.0
_OLD_BACKUP_DAYS = 8  # a backup each week, and a day of delay
_STRANGER = re.compile(r": connect from [^\[]*\[([0-9A-Fa-f.:]+)\]")
_STAMP = re.compile(r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}")
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: the certificate itself may be the trusted one
_OTHER_NAME = 62  # X509_V_ERR_HOSTNAME_MISMATCH


def configuration(examination: Examination) -> Iterator[CheckResult]:
    """Check that the configuration file has no error."""
    found = check(examination.config)
    errors = [each for each in found if each.is_error]
    if errors:
        yield wrong("configuration", str(errors[0]), "Use “smtpd-classic check”, and correct the file.")
    else:
        yield good("configuration", f"{len(found)} warnings; see “smtpd-classic check”" if found else "without errors")


def accounts(examination: Examination) -> Iterator[CheckResult]:
    """Check that the users and aliases files can be read."""
    errors = [each for each in Accounts.check(examination.config) if each.is_error]
    if errors:
        yield wrong("accounts", str(errors[0]), "Use “smtpd-classic check”, and correct the file.")
    else:
        yield good("accounts", "the users and aliases files can be read")


def listeners(examination: Examination) -> Iterator[CheckResult]:
    """Check that every listener of the running server takes connections."""
    status = StatusFile(os.path.join(examination.config.server.run_folder, "status.json")).running()
    if status is None:
        return  # reported by `daemon`
    for sentence in status.not_listening:
        yield wrong("listener", sentence, "Correct the listener, or stop the program that has its port.")
    for each in status.listening:
        subject = f"listener {each.name} at {each.address}{f' port {each.port}' if each.port else ''}"
        try:
            examination.reach(_EVERY.get(each.address, each.address), each.port)
        except OSError as problem:
            yield wrong(subject, problem.strerror or str(problem), "See the log; restart the server.")
        else:
            yield good(subject, "it takes connections")


def port_25_in(examination: Examination) -> Iterator[CheckResult]:
    """Check that other servers have reached this one: a stranger has connected within a day."""
    subject, advice = "port 25 in", "Send a message to this server from elsewhere; open port 25 in the firewall."
    try:
        line = examination.last_visitor()
    except OSError as problem:
        yield unknown(subject, f"the log cannot be read: {problem.strerror or problem}")
        return
    seen = _seconds_ago(line, examination.clock()) if line else None
    if seen is None or seen > _DAY_S:
        yield unknown(subject, "no other server has connected within 24 hours", advice)
    else:
        match = _STRANGER.search(line)
        yield good(subject, f"{match[1] if match else 'another server'} connected {seen / 3600:.0f} hours ago")


def _seconds_ago(line: str, now: float) -> float | None:
    """Return the age of a line of the log; None when its time cannot be read."""
    try:
        if _STAMP.match(line):
            year = datetime.fromtimestamp(now).year  # noqa: DTZ006
            then = datetime.strptime(f"{year} {line[:15]}", "%Y %b %d %H:%M:%S").timestamp()  # noqa: DTZ007
            if then > now + _DAY_S:  # of December, read in January
                then -= 365 * _DAY_S
        else:
            then = datetime.fromisoformat(line.partition(" ")[0]).timestamp()
    except ValueError:
        return None
    return max(now - then, 0.0)


def certificate_name(examination: Examination) -> Iterator[CheckResult]:
    """Check that the certificate is for the name under which mail programs and servers know this one."""
    server, name = examination.config.server, ascii_domain(examination.config.helo_name)
    if not examination.config.basic.allow_tls:
        return  # reported by `certificate`
    problem = _verified(server.certificate, server.private_key, name, server.certificate)
    if problem is None or (problem and problem[0] != _OTHER_NAME):
        return  # reported by `certificate`
    if problem:
        yield wrong("certificate name", f"it is not for {name}", f"Get a certificate for {name}.")
    else:
        yield good("certificate name", f"it is for {name}")


def certificate_chain(examination: Examination) -> Iterator[CheckResult]:
    """Check that mail programs trust the certificate, and that its chain is complete."""
    server = examination.config.server
    if not examination.config.basic.allow_tls:
        return
    problem = _verified(server.certificate, server.private_key, "", examination.ca_file)
    if problem is None:
        return  # reported by `certificate`
    if problem:
        advice = "Get a certificate of a public authority (certbot), and set [server] certificate to fullchain.pem."
        yield wrong("certificate chain", f"mail programs do not trust it: {problem[1]}", advice)
    else:
        yield good("certificate chain", "it leads to an authority that this machine trusts")


def _verified(certificate: str, key: str, name: str, ca_file: str) -> tuple[int, str] | tuple[()] | None:
    """Return the reason for which a client does not trust the certificate: number and text, () for none.

    None when the files cannot be used at all. The handshake is made in memory.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, password="")
        client = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError):
        return None
    client.check_hostname = bool(name)
    client.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name or None)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as problem:
                return problem.verify_code, problem.verify_message
            except ssl.SSLError as problem:
                return 0, problem.reason or str(problem)
    return ()


def key_files(examination: Examination) -> Iterator[CheckResult]:
    """Check that the private DKIM keys are readable by the service user alone."""
    for domain in examination.domains:
        folder = os.path.join(examination.store.folder, domain)
        try:
            names = [name for name in os.listdir(folder) if name.endswith(".pem")]
            open_ones = [name for name in names if stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077]
        except OSError:
            continue  # without keys, or reported by `dkim`
        subject = f"key files of {domain}"
        if open_ones:
            found = f"{open_ones[0]} can be read by other users of this machine"
            yield wrong(subject, found, f"Use “chmod 600 {folder}/*.pem”; make a new key if others may have read it.")
        elif names:
            yield good(subject, "the service user alone can read them")


def held(examination: Examination) -> Iterator[CheckResult]:
    """Report messages that wait for a decision of the administrator."""
    try:
        number = sum(each.held for each in Spool(examination.config.server.spool_folder).list())
    except (SpoolBroken, OSError) as problem:
        yield unknown("held messages", str(problem))
        return
    if number:
        yield wrong(
            "held messages", f"{number} wait for you", "See “smtpd-classic queue list”; release or delete them."
        )
    else:
        yield good("held messages", "none")


def backup(examination: Examination) -> Iterator[CheckResult]:
    """Check that “smtpd-classic backup” was used not long ago. Other programs may save the server too."""
    subject, advice = "last backup", "Use “smtpd-classic backup FILE” each day, from cron or a timer."
    try:
        then = last_backup(examination.config.server.spool_folder)
    except OSError as problem:
        yield unknown(subject, f"its time cannot be read: {problem.strerror or problem}")
        return
    if then is None:
        yield unknown(subject, "none by “smtpd-classic backup” is known", advice)
        return
    days = max(examination.clock() - then, 0.0) / _DAY_S
    if days > _OLD_BACKUP_DAYS:
        yield wrong(subject, f"it was made {days:.0f} days ago", advice)
    else:
        yield good(subject, f"it was made {days * 24:.0f} hours ago")
