"""Checks of this machine and of its outgoing connections: certificate, disk, queue, log, port 25, block lists."""

import ipaddress
import os
from collections.abc import Iterator
from datetime import UTC, datetime

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.doctor.finding import NOT_USED, CheckResult, Examination, good, unknown, wrong
from smtpd_classic.filters.list_check import tested_lists
from smtpd_classic.milter.connection import MilterFailure
from smtpd_classic.milter.probe import try_filter
from smtpd_classic.runtime import StatusFile
from smtpd_classic.server.tls import days_left, problem_with
from spool import Spool, SpoolBroken

__all__ = [
    "block_lists",
    "certificate",
    "clock",
    "daemon",
    "disk",
    "dns_lists",
    "log",
    "milters",
    "port_25_out",
    "queue",
]

_SOON_DAYS = 14
_FEW_INODES = 1000
_LISTS_S = 20.0  # one that does not answer takes seconds
_WRITTEN = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def daemon(examination: Examination) -> Iterator[CheckResult]:
    """Check that the server runs with the present configuration file."""
    status = StatusFile(os.path.join(examination.config.server.run_folder, "status.json")).running()
    if status is None:
        yield wrong("server", "it does not run", "Start it: “service smtpd-classic start”.")
    elif status.digest != examination.config.digest:
        yield wrong("server", "it runs with an older version of the file", "Use “smtpd-classic reload”.")
    else:
        yield good("server", "it runs with this file")


def certificate(examination: Examination) -> Iterator[CheckResult]:
    """Check that the certificate can be used and does not expire soon."""
    server = examination.config.server
    if not examination.config.basic.allow_tls:
        yield wrong("certificate", "TLS is switched off", "Switch on [basic] allow_tls.")
        return
    problem = problem_with(server.certificate, server.private_key)
    left = days_left(server.certificate)
    if problem:
        yield wrong("certificate", problem, "Renew the certificate, or correct the files.")
    elif left is not None and left < _SOON_DAYS:
        yield wrong("certificate", f"it expires in {left} days", "Renew the certificate.")
    else:
        yield good("certificate", f"{left} days left")


def disk(examination: Examination) -> Iterator[CheckResult]:
    """Check that the folders have free space and inodes."""
    for name in ("spool_folder", "mail_folder"):
        folder = getattr(examination.config.server, name)
        try:
            found = os.statvfs(folder)
        except OSError as problem:
            yield unknown(f"disk of {folder}", problem.strerror or str(problem))
            continue
        free = found.f_bavail * found.f_frsize
        if free < examination.config.basic.min_free_space:
            yield wrong(f"disk of {folder}", f"{free >> 20} MiB free: mail is deferred", "Make room on the disk.")
        elif found.f_files and found.f_favail < _FEW_INODES:
            yield wrong(f"disk of {folder}", f"{found.f_favail} inodes left", "Remove small files from the disk.")
        else:
            yield good(f"disk of {folder}", f"{free >> 20} MiB free")


def queue(examination: Examination) -> Iterator[CheckResult]:
    """Check that no message has waited for more than half of its life time."""
    try:
        arrivals = [each.arrival for each in Spool(examination.config.server.spool_folder).list() if not each.held]
    except (SpoolBroken, OSError) as problem:
        yield unknown("queue", str(problem))
        return
    waited = examination.clock() - min(arrivals, default=examination.clock())
    hours = f"the oldest message waits for {waited / 3600:.0f} hours"
    if waited > examination.config.basic.queue_lifetime.total_seconds() / 2:
        yield wrong("queue", hours, "“smtpd-classic queue list” shows why.")
    else:
        yield good("queue", hours if arrivals else "empty")


def milters(examination: Examination) -> Iterator[CheckResult]:
    """Check that each milter can be reached and speaks the protocol."""
    for each in examination.config.milters:
        try:
            took_s = try_filter(each)
        except MilterFailure as problem:
            yield wrong(f"milter {each.name}", str(problem), "Start it, or correct its address and its rights.")
        else:
            yield good(f"milter {each.name}", f"it answers in {took_s * 1000:.0f} ms")


def dns_lists(examination: Examination) -> Iterator[CheckResult]:
    """Test the lists of the SMTP Filter (RFC 5782 5): one that fails is not used."""
    for each in tested_lists(examination.config, examination.resolver, examination.name_servers, _LISTS_S):
        if each.problem:
            advice = "Use another list, or a resolver of your own."
            yield wrong(f"list {each.zone}", f"it is not used: {each.problem}", advice)
        else:
            yield good(f"list {each.zone}", "it has its test address, and not every address")


def log(examination: Examination) -> Iterator[CheckResult]:
    """Check that a log file can be read."""
    target = examination.config.server.log
    if not target.startswith("/"):
        yield good("log", f"it goes to {target}")
    elif os.access(target, os.R_OK):
        yield good("log", target)
    else:
        yield wrong("log", f"{target} cannot be read", "Correct its owner and mode.")


def clock(examination: Examination) -> Iterator[CheckResult]:
    """Check that the clock is not years behind: certificates and signatures depend on it."""
    if examination.clock() < _WRITTEN:
        yield wrong("clock", "it is before the release of this program", "Set the clock, and run an NTP client.")
    elif os.path.exists("/run/systemd/timesync/synchronized"):
        yield good("clock", "synchronised")
    else:
        yield unknown("clock", "no sign of an NTP client of systemd")


def port_25_out(examination: Examination) -> Iterator[CheckResult]:
    """Check that other servers can be reached at port 25."""
    if examination.by_relay:
        yield good("port 25 out", NOT_USED)
        return
    if not examination.probe_hosts:
        yield unknown(
            "port 25 out",
            "no host to ask: nothing was sent lately",
            "Name a host: --probe HOST, or [server] probe_hosts.",
        )
    for host in examination.probe_hosts:
        try:
            banner = examination.banner(host, 25)
        except (NoSuchDomain, DnsFailure) as problem:
            yield unknown("port 25 out", str(problem), "Name another host: --probe HOST, or [server] probe_hosts.")
            continue
        except OSError as problem:
            said = f"{host} cannot be reached: {problem.strerror or problem}"
            yield wrong("port 25 out", said, "Ask your provider to open port 25, or set a relay.")
            continue
        yield good("port 25 out", f"{host}: {banner[:60]}")


def block_lists(examination: Examination) -> Iterator[CheckResult]:
    """Check that no block list contains our addresses."""
    if examination.by_relay:
        yield good("block lists", NOT_USED)
        return
    for zone in examination.lists:
        for address in examination.public:
            yield _listed(examination, zone, address)


def _listed(examination: Examination, zone: str, address: str) -> CheckResult:
    subject = f"{address} in {zone}"
    name = ipaddress.ip_address(address).reverse_pointer.rsplit(".", 2)[0]
    try:
        found = examination.resolver.address_records(f"{name}.{zone}", 4)
    except NoSuchDomain:
        return good(subject, "not listed")
    except DnsFailure as problem:
        return unknown(subject, str(problem))
    if any(each.startswith("127.255.255.") for each in found):
        return unknown(subject, "the list refuses to answer your resolver", "Use a resolver of your own.")
    if found:
        return wrong(subject, f"listed ({', '.join(found)})", f"Ask {zone} for the reason, and to be removed.")
    return good(subject, "not listed")
