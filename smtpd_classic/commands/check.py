"""`smtpd-classic check`: everything that is wrong or doubtful, without touching anything."""

import argparse
import json
import os
import sys
from collections.abc import Iterator

from smtpd_classic.accounts import Accounts
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.accounts.former_accounts import report_box_problems
from smtpd_classic.config import Config, Problem, examine, is_untouched
from smtpd_classic.config.check_domains import local_domains, unsigned_domains
from smtpd_classic.dns import DnsResolver
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.filters.list_check import list_warnings
from smtpd_classic.keys.store import IN_USE, KeyStore, KeysUnreadable, dkim_folder
from smtpd_classic.runtime import StatusFile
from smtpd_classic.server.self_signed import signs_itself
from smtpd_classic.server.tls import Certificate, CertificateProblem, problem_with
from smtpd_classic.sharing import shared_state_problems

__all__ = ["HELP", "add_arguments", "all_problems", "run"]

HELP = "show the problems of the configuration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="say nothing about warnings, and nothing when all is well")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    config, problems = all_problems(args.config)
    errors = [problem for problem in problems if problem.is_error]
    if args.json:
        print(json.dumps([problem._asdict() for problem in problems], indent=2, ensure_ascii=False))
        return os.EX_CONFIG if errors else os.EX_OK
    for problem in errors if args.quiet else problems:
        print(problem, file=sys.stderr)
    if not args.quiet:
        for note in _notes(config) if config else ():
            print(note, file=sys.stderr)
        if not errors:
            print(f"{args.config}: no errors, {_counted(len(problems), 'warning')}.", file=sys.stderr)
    return os.EX_CONFIG if errors else os.EX_OK


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def all_problems(path: str) -> tuple[Config | None, tuple[Problem, ...]]:
    """Return the problems of the file, of the accounts and aliases that it names, of the certificate, and of the DNS
    lists."""
    config, problems = examine(path)
    if config is None:
        return None, problems
    return config, (
        *problems,
        *_guessed(config),
        *_certificate(config),
        *_keys(config),
        *report_box_problems(config, Accounts(config)),
        *_shared(config),
        *_dovecot(config),
        *list_warnings(config, DnsResolver(config.server.name_servers)),
        *Accounts.check(config),
    )


def _guessed(config: Config) -> Iterator[Problem]:
    if is_untouched(config.path):
        domain = config.server.primary_domain
        said = (
            f"the installation guessed the domain {domain}; smtpd-classic-tui asks for the right one, and so does "
            "“smtpd-classic domain primary NAME”."
        )
        yield Problem(config.path, config.line("server", "primary_domain"), said, "warning")


def _keys(config: Config) -> Iterator[Problem]:
    """Yield the DKIM keys in use that cannot be read: mail of their domains waits."""
    store = KeyStore(dkim_folder(config.path))
    for name in sorted(local_domains(config) - unsigned_domains(config)):
        domain = ascii_domain(name)
        folder = os.path.join(store.folder, domain)
        if not os.path.isdir(folder) or not os.access(folder, os.R_OK | os.X_OK):
            continue  # without keys, or not for this user to see
        try:
            for key in store.keys(domain):
                if key.state == IN_USE:
                    store.record(key)
        except KeysUnreadable as problem:
            line = config.line(f"domain {name}", "sign") or config.line("server", "primary_domain")
            said = f"mail of {name} waits, because its DKIM key cannot be used: {problem}."
            yield Problem(config.path, line, said)


def _shared(config: Config) -> Iterator[Problem]:
    """Yield the problems of the shared state: another secret than the other servers have, no answer."""
    line = config.line("server", "shared_state")
    for said, is_error in shared_state_problems(config, register=False):
        yield Problem(config.path, line, said, "error" if is_error else "warning")


def _dovecot(config: Config) -> Iterator[Problem]:
    """Yield the problems of the sockets of Dovecot, if it knows the accounts."""
    if config.server.accounts != IN_DOVECOT:
        return
    from smtpd_classic.accounts.dovecot_check import check_dovecot  # noqa: PLC0415 - not loaded without the option

    for each in check_dovecot(config):
        line = config.line("server", each.option) or config.line("server", "accounts")
        yield Problem(config.path, line, f"{each.text}. {each.advice}", "error" if each.is_error else "warning")


def _certificate(config: Config) -> Iterator[Problem]:
    if not config.basic.allow_tls or all(listener.tls == "none" for listener in config.listeners):
        return
    certificate, key = config.server.certificate, config.server.private_key
    line = config.line("server", "certificate")
    if not os.path.exists(certificate) and not os.path.exists(key):
        said = "there is no certificate yet; the first start makes a self-signed one, which mail programs warn about."
        yield Problem(config.path, line, said, "warning")
        return
    try:
        Certificate(certificate, key, complain=lambda _: None)
    except CertificateProblem as problem:
        yield Problem(config.path, line, str(problem))
        return
    said = problem_with(certificate, key)
    if said:
        yield Problem(config.path, line, said, "warning")
    if signs_itself(certificate):
        said = f"the certificate in {certificate} is self-signed; mail programs warn about it."
        yield Problem(config.path, line, said, "warning")


def _notes(config: Config) -> Iterator[str]:
    """Yield the changes that the running server has not read yet."""
    status = StatusFile(os.path.join(config.server.run_folder, "status.json")).running()
    if status is None or status.config_path != config.path or status.digest == config.digest:
        return
    yield "The running server has another version of this file; “smtpd-classic reload” makes it read this one."
    bound = {listening.port for listening in status.listening}
    ports = sorted({listener.port for listener in config.listeners if 0 < listener.port < 1024} - bound)
    if ports:
        yield f"Ports under 1024 are opened at a restart only: {', '.join(map(str, ports))}."
