"""Rules about outgoing mail: a way out exists, and passwords are not sent in the clear."""

import ipaddress
from collections.abc import Iterator

from smtpd_classic.config.kinds import Host
from smtpd_classic.config.names import is_ip
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["RULES"]


def remote_mail_has_a_way(config: Config) -> Iterator[Finding]:
    """An internal server may have none but the hosts of its direct domains."""
    remote = config.remote
    if not (remote.look_up_mx or remote.relay_always or remote.relay_when_delivery_fails or config.direct_domains):
        said = "mail for other servers has no way out: look_up_mx is off, no relay is used, and there is no [direct]."
        yield Finding("remote", "look_up_mx", said)


def one_source_address_a_version(config: Config) -> Iterator[Finding]:
    versions = [ipaddress.ip_address(each).version for each in config.remote.source_address]
    if len(versions) != len(set(versions)):
        said = "only one address for IPv4 and one for IPv6 can be the source of connections."
        yield Finding("remote", "source_address", said)


def a_relay_has_a_host(config: Config) -> Iterator[Finding]:
    for option in ("relay_always", "relay_when_delivery_fails"):
        if getattr(config.remote, option) and not config.remote.relay_hosts:
            yield Finding("remote", option, f"{option} is on, but relay_hosts is blank.")
            return


def a_relay_is_used(config: Config) -> Iterator[Finding]:
    remote = config.remote
    if remote.relay_hosts and not (remote.relay_always or remote.relay_when_delivery_fails):
        said = "the relay is configured, but never used: relay_always and relay_when_delivery_fails are off."
        yield Finding("remote", "relay_hosts", said, "warning")


def boxes_do_not_contradict(config: Config) -> Iterator[Finding]:
    """Options that another option makes useless. Nothing breaks, but the administrator expects something else."""
    remote = config.remote
    if remote.relay_always and remote.relay_when_delivery_fails:
        said = "relay_when_delivery_fails has no effect while relay_always is on."
        yield Finding("remote", "relay_when_delivery_fails", said, "warning")
    if remote.relay_when_delivery_fails and not remote.relay_always and not remote.look_up_mx:
        said = "relay_when_delivery_fails sends everything to the relay while look_up_mx is off, as relay_always does."
        yield Finding("remote", "relay_when_delivery_fails", said, "warning")
    tls = remote.relay_ssl or remote.relay_auth
    if remote.relay_accept_any_certificate and not tls:
        said = (
            "relay_accept_any_certificate has no effect: the certificate of the relay is only verified with relay_ssl."
        )
        yield Finding("remote", "relay_accept_any_certificate", said, "warning")
    unused = [name for name in ("relay_ssl", "relay_mail_from") if getattr(remote, name) and not remote.relay_hosts]
    if unused:
        said = f"{' and '.join(unused)} has no effect: relay_hosts is blank."
        yield Finding("remote", unused[0], said, "warning")
    if config.open_relay.domains and not config.basic.close_open_relay:
        said = "the domains of [open_relay] have no effect: close_open_relay is off, so everyone may send everywhere."
        yield Finding("open_relay", "domains", said, "warning")


def a_relay_login_is_whole(config: Config) -> Iterator[Finding]:
    remote = config.remote
    if not remote.relay_auth:
        if remote.relay_user or remote.relay_password or remote.relay_password_file or remote.relay_token_command:
            said = "the login for the relay is not used while relay_auth is off."
            yield Finding("remote", "relay_auth", said, "warning")
        return
    missing = [] if remote.relay_user else ["relay_user"]
    if not (remote.relay_password or remote.relay_password_file or remote.relay_token_command):
        missing.append("relay_password (or relay_password_file or relay_token_command)")
    if missing:
        yield Finding("remote", "relay_auth", f"relay_auth is on, but {' and '.join(missing)} is blank.")
    if remote.relay_password and remote.relay_password_file:
        said = "relay_password and relay_password_file are both set; one of them must be blank."
        yield Finding("remote", "relay_password_file", said)


def passwords_go_to_the_right_host(config: Config) -> Iterator[Finding]:
    if config.remote.relay_auth and config.remote.relay_accept_any_certificate:
        said = "the password for the relay can be intercepted, because any certificate is accepted."
        yield Finding("remote", "relay_accept_any_certificate", said, "warning")
    for direct in config.direct_domains:
        if direct.accept_any_certificate and any(host.user for host in direct.hosts):
            said = f"the password for {direct.name} can be intercepted, because any certificate is accepted."
            yield Finding(f"direct {direct.name}", "accept_any_certificate", said, "warning")


def implicit_tls_ports_use_tls(config: Config) -> Iterator[Finding]:
    """On port 465 both sides wait for the other unless TLS comes first (RFC 8314 3)."""
    remote = config.remote
    if not (remote.relay_ssl or remote.relay_auth) and any(
        (host.port or remote.relay_port) == 465 for host in remote.relay_hosts
    ):
        said = "the relay is reached on port 465, which needs relay_ssl = yes."
        yield Finding("remote", "relay_ssl", said, "warning")
    for direct in config.direct_domains:
        for host in direct.hosts:
            if host.port == 465 and not (host.ssl or host.user):
                said = f"{host.name} is reached on port 465, which needs ssl behind it."
                yield Finding(f"direct {direct.name}", "hosts", said, "warning")


def strangers_do_not_send_with_our_login(config: Config) -> Iterator[Finding]:
    for direct in config.direct_domains:
        if direct.open and any(host.user for host in direct.hosts):
            said = (
                f"[direct {direct.name}] is open to strangers and logs in with a password; only one of both is allowed."
            )
            yield Finding(f"direct {direct.name}", "open", said)


def mail_is_not_sent_to_ourselves(config: Config) -> Iterator[Finding]:
    for host in config.remote.relay_hosts:
        if _is_ourselves(config, host, config.remote.relay_port):
            said = f"the relay {host.name} is this server itself; mail would loop."
            yield Finding("remote", "relay_hosts", said)
    for direct in config.direct_domains:
        for host in direct.hosts:
            if _is_ourselves(config, host, 25):
                said = f"{host.name} is this server itself; mail would loop."
                yield Finding(f"direct {direct.name}", "hosts", said)


def mailboxes_are_not_ourselves(config: Config) -> Iterator[Finding]:
    places = [("server", config.server.mailbox)]
    places += [(f"domain {domain.name}", domain.mailbox) for domain in config.domains if domain.mailbox is not None]
    for title, place in places:
        for server in place.servers:
            own_socket = server.path and any(server.path == listener.socket for listener in config.listeners)
            if own_socket or (server.name and _is_ourselves(config, Host(server.name, server.port), server.port)):
                yield Finding(title, "mailbox", f"{server} is this server itself; mail would loop.")


def _is_ourselves(config: Config, host: Host, usual_port: int) -> bool:
    """Return True if that is certain without DNS: a loopback or listening address, with the port of a listener."""
    for listener in config.listeners:
        if listener.port != (host.port or usual_port):
            continue
        if host.name in listener.address:
            return True
        local = host.name == "localhost" or (is_ip(host.name) and ipaddress.ip_address(host.name).is_loopback)
        if local and any(_takes_loopback(address, host.name) for address in listener.address):
            return True
    return False


def _takes_loopback(address: str, name: str) -> bool:
    listening = ipaddress.ip_address(address)
    if name == "localhost":
        return listening.is_unspecified or listening.is_loopback
    return listening.is_unspecified and listening.version == ipaddress.ip_address(name).version


RULES: tuple[Rule, ...] = (
    remote_mail_has_a_way,
    one_source_address_a_version,
    a_relay_has_a_host,
    a_relay_is_used,
    boxes_do_not_contradict,
    a_relay_login_is_whole,
    passwords_go_to_the_right_host,
    implicit_tls_ports_use_tls,
    strangers_do_not_send_with_our_login,
    mail_is_not_sent_to_ourselves,
    mailboxes_are_not_ourselves,
)
