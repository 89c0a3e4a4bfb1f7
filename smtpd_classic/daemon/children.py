"""The child processes of a server: receivers, the delivering process, and the sweeper."""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

from smtpd_classic import atomic_file
from smtpd_classic.accounts import Accounts
from smtpd_classic.config import Config
from smtpd_classic.counters.sender_limits import counters_folder
from smtpd_classic.daemon.instance import Generation
from smtpd_classic.daemon.lifecycle import HAND_OVER_S, STOP, STOP_S, ControlChannel, Draining
from smtpd_classic.dns import DnsResolver
from smtpd_classic.durable import observe_syncs
from smtpd_classic.filters.list_watch import ListWatch
from smtpd_classic.mailstore.store import MailStore, MailStoreBroken
from smtpd_classic.policy.greylist import greylist_folder
from smtpd_classic.policy.rules import Verify, no_verifier
from smtpd_classic.reception.lmtp import reception_for
from smtpd_classic.server.acceptor import Acceptor
from smtpd_classic.server.context import ListenerContext
from smtpd_classic.server.listener_server import Receiver
from smtpd_classic.server.listening import Sockets
from smtpd_classic.server.suites import suites_of
from smtpd_classic.server.tls import Certificate
from smtpd_classic.services import Services
from spool import SpoolBroken
from spool.spool import Spool

__all__ = ["deliver", "receive", "receiver_for", "services_for", "sweep", "sweep_up"]

_TICK_S = 0.05
# How often a thread that waits for its turn in the interpreter asks for it. With hundreds of them the asking seems to
# take a twentieth of the rate (-7 to +13 % in five comparisons), and none has its turn for long: each command and each
# piece of a message ends with a system call.
_SWITCH_S = 0.1


def services_for(setting: Generation, before: Services | None = None) -> Services:
    """Return the parts of a process, which from now on measures its writes. `before` are its parts until a reload."""
    config, log = setting.config, setting.log
    dns = DnsResolver(config.server.name_servers)
    observe_syncs(setting.runtime.counters.synced)

    def complain(part: str) -> Callable[[str], None]:
        return lambda sentence: log.warning(part, sentence)

    verifier: Callable[..., Verify] = no_verifier
    if config.verifies_recipients:
        from smtpd_classic.client.verifier import verifications  # noqa: PLC0415 - not loaded without the option

        verifier = partial(verifications, config, dns, complain("smtpd"))
    return Services(
        config=config,
        accounts=Accounts(config, complain("smtpd"), report=setting.runtime.dovecot.report),
        dns=dns,
        runtime=setting.runtime,
        spool=Spool(config.server.spool_folder, complain("qmgr")),
        mail_store=MailStore(config.server.mail_folder, config.helo_name, complain("local")),
        log=log,
        clock=time.time,
        verifier=verifier,
        shared_before=before.shared if before is not None else None,
    )


def receiver_for(services: Services, sockets: Sockets) -> Receiver:
    """Return the receiver of one process. Raises CertificateProblem."""
    server, log, accounts = services.config.server, services.log, services.accounts
    certificate = None
    if services.config.basic.allow_tls and any(listener.tls != "none" for listener, _ in sockets.bound):
        suites = {suites_of(listener) for listener, _ in sockets.bound}
        certificate = Certificate(
            server.certificate, server.private_key, lambda text: log.warning("smtpd", text), suites
        )
    terms = ListenerContext(
        config=services.config,
        runtime=services.runtime,
        log=log,
        reception=lambda session, client: reception_for(session, client, services),
        host_name=services.dns.host_name,
        mechanisms=accounts.mechanisms,
        certificate=certificate,
    )
    return Receiver(terms, sockets.bound, sockets.local)


def receive(setting: Generation, supervisor: socket.socket) -> None:
    """Run a receiving process."""
    sys.setswitchinterval(_SWITCH_S)
    orders = ControlChannel(supervisor)
    services = services_for(setting)
    receiver = receiver_for(services, setting.sockets)
    lists = ListWatch(services.dns_lists)
    acceptor = Acceptor(orders.filenos(), setting.log, receiver.is_ahead)
    lists.start()
    acceptor.serve(receiver.servers)
    orders.ready()
    while not (word := orders.word()):
        acceptor.run(3600.0)
    acceptor.serve(())
    lists.stop()
    orders.detach()
    receiver.close()
    draining = Draining(receiver, stop=word == STOP)
    while not draining.done():
        if word == STOP:
            time.sleep(_TICK_S)
        elif acceptor.run(_TICK_S) and orders.word() == STOP:
            word, draining = STOP, Draining(receiver, stop=True)
    services.end()


def deliver(setting: Generation, supervisor: socket.socket) -> None:
    """Run the process that delivers the queue."""
    # Here, because it takes a fifth of the start, and the receivers do not have to wait for it.
    from smtpd_classic.daemon.sending import Sending  # noqa: PLC0415

    orders = ControlChannel(supervisor)
    sending = Sending(services_for(setting))
    sending.start()
    orders.ready()
    while not (word := orders.word()):
        orders.wait()
    sending.detach()
    orders.detach()
    sending.stop(STOP_S if word == STOP else HAND_OVER_S)


def sweep(setting: Generation, supervisor: socket.socket) -> None:
    """Run the sweep in a process of its own, because it may take long."""
    del supervisor
    sweep_up(services_for(setting))


def sweep_up(services: Services) -> None:
    """Sweep the files that dead processes have left: drafts, and messages in the spool and in the mail folder."""
    _sweep_drafts(services.config)
    try:
        services.spool.sweep(time.time())
        delivered = services.mail_store.sweep(services.folder_of, services.junk_of)
    except (SpoolBroken, MailStoreBroken) as problem:
        services.log.warning("master", f"the files of dead processes cannot be swept: {problem}")
        return
    if delivered:
        services.log.write("local", f"delivered {delivered} messages that a dead process had left")


def _sweep_drafts(config: Config) -> None:
    atomic_file.sweep(config.server.spool_folder)
    for top in (config.server.run_folder, counters_folder(config), greylist_folder(config)):
        for folder, _, _ in os.walk(top):
            atomic_file.sweep(folder)
