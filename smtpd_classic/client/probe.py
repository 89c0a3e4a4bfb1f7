"""A test of the way to another mail server, without sending a message: resolve, connect, TLS, login.

The result is a list of steps for display. `smtpd-classic test` prints it, and the screens show each step at once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from smtpd_classic.client.hosts import addresses_of
from smtpd_classic.client.login import LoginProblem, log_in
from smtpd_classic.client.network import Encryption, Network, Target
from smtpd_classic.client.relay import direct_hosts, smarthost
from smtpd_classic.client.routes import direct_domain_for
from smtpd_classic.client.separate_network import separate_network
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import Peer
from smtpd_classic.client.wire import ClientWire, ConnectionLost, connect
from smtpd_classic.config.schema import Config, DirectDomain, Listener, Milter
from smtpd_classic.dns import DnsFailure, NoSuchDomain, NullMx, Resolver
from smtpd_classic.milter.connection import MilterFailure
from smtpd_classic.milter.probe import try_filter
from smtpd_classic.smtp.client import Offered, parse_ehlo
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "FAILED",
    "NOT_DONE",
    "OK",
    "HostProbe",
    "ProbeStep",
    "direct_domain_for",
    "probe_direct",
    "probe_listener",
    "probe_milter",
    "probe_network",
    "probe_relay",
    "probe_target",
]

OK, FAILED, NOT_DONE = "ok", "failed", "not done"
STEPS = ("resolve", "connect", "greeting", "TLS", "certificate", "login")
_TIMEOUT_S = 20.0
_MOST_HOSTS = 5
_BLOCKED = "check that the host is up and that a firewall or the provider lets connections to this port out."


class ProbeStep(NamedTuple):
    """One step. `state` is OK, FAILED or NOT_DONE; `text` is a finding, `advice` a sentence or blank."""

    name: str
    state: str
    text: str
    advice: str = ""


class HostProbe(NamedTuple):
    """All steps of one host, in the order of STEPS."""

    host: str
    steps: tuple[ProbeStep, ...]

    @property
    def works(self) -> bool:
        return all(step.state != FAILED for step in self.steps)


def probe_milter(milter: Milter, told: "Told") -> tuple[HostProbe, ...]:
    """Connect to a milter and negotiate."""
    try:
        step = ProbeStep("connect", OK, f"{milter.name} ({try_filter(milter) * 1000:.0f} ms, protocol agreed)")
    except MilterFailure as problem:
        step = ProbeStep("connect", FAILED, str(problem), "start it, or correct its address and its rights.")
    told(milter.address, step)
    return (HostProbe(milter.address, (step,)),)


class _Stop(Exception):
    """Raised to end the probe of this host."""


Told = Callable[[str, ProbeStep], None]


def probe_network(config: Config, resolver: Resolver) -> Network:
    """Return a separate network with short timeouts."""
    remote, network = config.remote, separate_network(config, resolver)
    connect_s = min(_TIMEOUT_S, remote.connect_timeout.total_seconds())
    quick = network.timeouts._replace(connect=connect_s, greeting=_TIMEOUT_S, hello=_TIMEOUT_S, mail=_TIMEOUT_S)
    return replace(network, timeouts=quick)


def probe_relay(config: Config, network: Network, told: Told = lambda host, step: None) -> tuple[HostProbe, ...]:
    """Try every relay host of the configuration. `told` is called after each step."""
    return _each(smarthost(config.remote, network).hosts, network, told)


def probe_direct(
    config: Config, direct: DirectDomain, network: Network, told: Told = lambda host, step: None
) -> tuple[HostProbe, ...]:
    """Try the hosts of a direct domain; if it names none, try the hosts of its MX records."""
    if direct.hosts:
        return _each(direct_hosts(direct, config.remote, network).hosts, network, told)
    domain = direct.name.lstrip("*.")
    try:
        exchangers = network.resolver.mx(domain)[:_MOST_HOSTS]
    except (NoSuchDomain, NullMx, DnsFailure) as problem:
        found = ProbeStep("resolve", FAILED, f"no mail servers of {domain}: {problem or type(problem).__name__}")
        told(domain, found)
        return (HostProbe(domain, (found, *_not_done(STEPS[1:]))),)
    encryption = Encryption.OFFERED if config.remote.opportunistic_tls else Encryption.NEVER
    targets = tuple(Target(Peer(each.host, "", network.smtp_port), encryption, from_mx=True) for each in exchangers)
    return _each(targets, network, told)


def probe_listener(
    config: Config, listener: Listener, network: Network, told: Told = lambda host, step: None
) -> tuple[HostProbe, ...]:
    """Try a listener of this server at each of its addresses, as a client of this machine would."""
    encryption = Encryption.VERIFIED if config.basic.allow_tls and listener.tls != "none" else Encryption.NEVER
    found = []
    for address in listener.address:
        ip = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        target = Target(Peer(config.helo_name, ip, listener.port), encryption, listener.tls == "implicit")
        place = f"[{ip}]:{listener.port}" if ":" in ip else f"{ip}:{listener.port}"
        found.append(_Probe(target, network, told, place, resolved=True).run())
    return tuple(found)


def probe_target(target: Target, network: Network, told: Told = lambda host, step: None) -> HostProbe:
    """Try one host, at the first of its addresses that accepts a connection."""
    return _Probe(target, network, told, f"{target.peer.name}:{target.peer.port}").run()


def _each(targets: tuple[Target, ...], network: Network, told: Told) -> tuple[HostProbe, ...]:
    return tuple(probe_target(each, network, told) for each in targets)


def _not_done(names: tuple[str, ...]) -> tuple[ProbeStep, ...]:
    return tuple(ProbeStep(name, NOT_DONE, "") for name in names)


class _Probe:
    """The probe of one host."""

    def __init__(self, target: Target, network: Network, told: Told, host: str, *, resolved: bool = False) -> None:
        self._target = target
        self._network = network
        self._told = told
        self._host = host
        self._resolved = resolved
        self._steps: list[ProbeStep] = []

    def run(self) -> HostProbe:
        wire: ClientWire | None = None
        try:
            wire = self._connect(self._resolve())
            if self._target.implicit_tls:
                self._start_tls(wire)
            self._greet(wire)
            offered = self._hello(wire)
            if not self._target.implicit_tls:
                offered = self._encrypt(wire, offered)
            self._log_in(wire, offered)
            wire.send_lines(("QUIT",), 1.0)
        except _Stop:
            pass
        except ConnectionLost as lost:
            self._note(self._next(), FAILED, str(lost))
        finally:
            if wire is not None:
                wire.close()
        done = {step.name: step for step in self._steps}
        return HostProbe(self._host, tuple(done.get(name, ProbeStep(name, NOT_DONE, "")) for name in STEPS))

    def _next(self) -> str:
        """Return the name of the first step that has no result."""
        done = {step.name for step in self._steps}
        return next((name for name in STEPS if name not in done), STEPS[-1])

    def _note(self, name: str, state: str, text: str, advice: str = "") -> None:
        step = ProbeStep(name, state, text, advice)
        if all(each.name != name for each in self._steps):
            self._steps.append(step)
            self._told(self._host, step)

    def _fail(self, name: str, text: str, advice: str = "") -> _Stop:
        self._note(name, FAILED, text, advice)
        return _Stop()

    def _resolve(self) -> list[Target]:
        if self._resolved:
            self._note("resolve", OK, self._target.peer.ip)
            return [self._target]
        found = list(addresses_of(self._target, self._network))
        usable = [each for each in found if isinstance(each, Target)]
        if not usable:
            text = next(each.reply.text for each in found if not isinstance(each, Target))
            raise self._fail("resolve", text, "check the spelling of the host, and the name servers of this machine.")
        self._note("resolve", OK, ", ".join(each.peer.ip for each in usable))
        return usable

    def _connect(self, targets: list[Target]) -> ClientWire:
        words = []
        for target in targets[:_MOST_HOSTS]:
            peer = target.peer
            try:
                endpoint = target.endpoint(self._network.local)
                wire = connect(peer, endpoint, self._network.timeouts.connect, Transcript())
            except ConnectionLost as lost:
                words.append(f"{peer.ip} port {peer.port}: {lost}")
                continue
            wire.limit(6 * _TIMEOUT_S)
            self._note("connect", OK, f"{peer.ip} port {peer.port}")
            return wire
        raise self._fail("connect", "; ".join(words), _BLOCKED)

    def _greet(self, wire: ClientWire) -> None:
        try:
            reply = wire.reply(self._network.timeouts.greeting)
        except ConnectionLost as lost:
            advice = (
                "" if self._target.implicit_tls else "port 465 expects TLS from the first octet: is the port right?"
            )
            raise self._fail("greeting", f"no greeting: {lost}", advice) from None
        if not reply.positive:
            raise self._fail("greeting", str(reply), "the server refuses this machine; its operator can say why.")
        self._note("greeting", OK, str(reply))

    def _hello(self, wire: ClientWire) -> Offered:
        reply = self._said(wire, f"EHLO {self._network.helo_name}")
        if reply.positive:
            return parse_ehlo(reply)
        reply = self._said(wire, f"HELO {self._network.helo_name}")
        if not reply.positive:
            advice = f"it may not like the name {self._network.helo_name}, see helo_name in [server]."
            raise self._fail(self._next(), f"EHLO: {reply}", advice)
        return Offered()

    def _said(self, wire: ClientWire, command: str) -> Reply:
        return wire.command(command, self._network.timeouts.hello)

    def _encrypt(self, wire: ClientWire, offered: Offered) -> Offered:
        encryption = self._target.encryption
        if encryption is Encryption.NEVER:
            self._note("TLS", NOT_DONE, "switched off")
            self._note("certificate", NOT_DONE, "no TLS")
            return offered
        if not offered.starttls:
            if encryption.required:
                raise self._fail("TLS", "the server does not offer STARTTLS", "try another port: 465 or 587.")
            self._note("TLS", NOT_DONE, "not offered; mail goes out in plaintext")
            self._note("certificate", NOT_DONE, "no TLS")
            return offered
        reply = self._said(wire, "STARTTLS")
        if not reply.positive:
            raise self._fail("TLS", f"STARTTLS: {reply}")
        self._start_tls(wire)
        return self._hello(wire)

    def _start_tls(self, wire: ClientWire) -> None:
        verified = self._target.encryption is Encryption.VERIFIED
        context = self._network.tls.verified if verified else self._network.tls.any_certificate
        name = self._target.peer.name
        try:
            info = wire.start_tls(context, name, self._network.timeouts.hello)
        except ConnectionLost as lost:
            text = str(lost).removeprefix("TLS handshake failed: ")
            if "certificate not verified" not in text:
                advice = "port 587 and 25 begin without TLS, port 465 with it: is the port right?"
                raise self._fail("TLS", text, advice) from None
            self._note("TLS", OK, "the server speaks TLS")
            advice = f"the name {name} must stand in a certificate that this machine trusts."
            raise self._fail("certificate", text.removeprefix("certificate not verified: "), advice) from None
        self._note("TLS", OK, f"{info.version}, {info.cipher}")
        if verified:
            self._note("certificate", OK, f"verified for {name}")
        else:
            self._note("certificate", NOT_DONE, "any certificate is accepted")

    def _log_in(self, wire: ClientWire, offered: Offered) -> None:
        login = self._target.login
        if login is None:
            self._note("login", NOT_DONE, "no login is configured")
            return
        try:
            log_in(wire, offered.auth, login, self._network.timeouts.mail)
        except LoginProblem as problem:
            raise self._fail("login", str(problem), "check user and password with the provider.") from None
        self._note("login", OK, f"accepted for {login.user}")
