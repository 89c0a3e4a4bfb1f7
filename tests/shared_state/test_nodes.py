"""Two servers with one Redis: limits, blocks, secrets, and a Redis that stops under load."""

import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import reload
from smtpd_classic.shared_state import SharedState
from smtpd_classic.smtp.events import Event, RcptTo
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, hosts
from tests.instance import Instance
from tests.shared_state.redis_server import RedisServer
from tests.tools import need
from tests.waiting import until

SECRETS = ("srs-secret", "approval-secret")
ANN = "ann@example.test"
DOWN, UP = "does not answer", "answers again"


class Site:
    """Two servers of one site. Their mail for others goes to port 9, where it waits."""

    def __init__(self, folder: Path) -> None:
        self.redis = RedisServer(folder)
        self.nodes = [Instance(folder / name) for name in ("one", "two")]
        for node in self.nodes:
            node.set("server", "shared_state", self.redis.url)
            node.set("server", "workers", "2")
            node.set("remote", "relay_hosts", "127.0.0.1:9")
            node.set("remote", "relay_always", "yes")
            node.set("remote", "look_up_mx", "no")
            node.set("limits", "over_limit", "refuse")
            node.set("limits", "new_recipients_per_day", "0")
            node.set("access", "max_failures", "3")
            approval = {"senders": ANN, "managers": node.login, "by_mail": "yes"}
            node.set_all({("approval staff", name): value for name, value in approval.items()})


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with folder_for_servers() as folder, ExitStack() as stack:
        made = Site(folder)
        stack.callback(made.redis.stop)
        made.redis.start()
        one, two = made.nodes
        for node in made.nodes:
            added = node.run("user", "add", ANN, "--password-stdin", input=one.password)
            assert added.returncode == 0, added.stderr
        one.start()
        stack.callback(one.stop)
        for name in SECRETS:
            shutil.copy2(one.folder / name, two.folder / name)
        two.start()
        stack.callback(two.stop)
        yield made


def session(node: Instance, source: str = "127.0.0.1") -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", node.ports["submission"], timeout=20, source_address=(source, 0))
    client.starttls(context=node.tls())
    return client


def logged_in(node: Instance) -> smtplib.SMTP:
    client = session(node)
    client.login(node.login, node.password)
    return client


def accepted(client: smtplib.SMTP, node: Instance, recipients: list[str]) -> int:
    """Send a message. Return the number of its recipients that were accepted."""
    text = f"From: {node.login}\r\nSubject: limits\r\n\r\nhello\r\n"
    try:
        return len(recipients) - len(client.sendmail(node.login, recipients, text))
    except smtplib.SMTPRecipientsRefused:
        return 0
    except smtplib.SMTPDataError as refused:  # other sessions have used up the limit since RCPT
        if refused.smtp_code != 550:
            raise
        return 0


def test_a_node_without_the_secrets_is_refused(site: Site) -> None:
    with folder_for_servers() as folder:
        node = Instance(folder / "three")
        node.set("server", "shared_state", site.redis.url)
        for refused in (node.run("check"), node.run("serve")):
            assert refused.returncode == os.EX_CONFIG
            assert "srs-secret is missing, but there is one on the other servers" in refused.stderr
        (node.folder / "srs-secret").write_text("x" * 64)
        assert "is another one than that of the other servers" in node.run("check").stderr
        for name in SECRETS:
            shutil.copy2(site.nodes[0].folder / name, node.folder / name)
        assert node.run("check").returncode == 0


def test_a_limit_of_200_holds_for_both_nodes(site: Site) -> None:
    for number in range(5):
        missed = changes(site)
        found = sent_by_both(site, str(number))
        if changes(site) == missed:
            break
        # Redis has missed a deadline, so one node has counted by itself: that is another matter than this limit.
        until(lambda: all(each[-1:] != [DOWN] for each in changes(site)), 20)
        assert site.nodes[1].run("limits", "reset", "joe").returncode == 0
    assert sum(found) == 200
    for node in site.nodes:
        (row,) = json.loads(node.run("limits", "list", "--json").stdout)
        assert (row["sender"], row["hour"]) == (node.login, 200)
    assert site.nodes[1].run("limits", "reset", "joe").returncode == 0
    assert json.loads(site.nodes[0].run("limits", "list", "--json").stdout) == []


def changes(site: Site) -> list[list[str]]:
    """The state of Redis, as each node has said it with each change."""
    return [re.findall(f"the shared state ({DOWN}|{UP})", node.log()) for node in site.nodes]


def wait_for(site: Site, state: str) -> None:
    until(lambda: all(each[-1:] == [state] for each in changes(site)), 20, lambda: f"not {state}: {changes(site)}")


def sent_by_both(site: Site, name: str) -> list[int]:
    """Send 320 recipients by both nodes at once. Return the numbers of those that were accepted."""
    found: list[int] = []

    def send(node: Instance, name: str) -> None:
        for number in range(20):
            with closing(logged_in(node)) as client:
                found.append(accepted(client, node, [f"{name}{number}-{each}@away.example" for each in range(4)]))

    senders = [
        threading.Thread(target=send, args=(node, f"{name}{letter}{each}"), daemon=True)
        for letter, node in zip("ab", site.nodes, strict=True)
        for each in range(2)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    return found


def held_by(node: Instance) -> str:
    """Send a message of Ann that needs approval. Return its queue id."""
    with closing(session(node)) as client:
        client.login(ANN, node.password)
        client.mail(ANN)
        client.rcpt("bob@away.example")
        _, reply = client.data(f"From: {ANN}\r\nSubject: approval\r\n\r\nPlease.\r\n")
    return reply.decode().split()[-1]


def address_in_notice(node: Instance, action: str, queue_id: str) -> str:
    """Return an address that decides, from the notice to the manager."""
    wanted = re.compile(rf"{action}\+{queue_id.lower()}-\w+@example\.test")

    def found() -> str:
        texts = (re.sub(r"=?\n", "", path.read_text()) for path in node.mail())
        return next((match[0] for match in map(wanted.search, texts) if match), "")

    return until(found, 20, node.log)


def decide(node: Instance, address: str) -> None:
    """Send a decision, again and again while it is deferred: Redis may miss its deadline on a busy machine."""

    def is_sent() -> bool:
        with closing(logged_in(node)) as client:
            try:
                return not client.sendmail(node.login, [address], f"From: {node.login}\r\nSubject: yes\r\n\r\nYes.\r\n")
            except smtplib.SMTPDataError as refused:
                if refused.smtp_code != 451:
                    raise
                return False

    until(is_sent, 30, node.log)


def state_of(node: Instance, queue_id: str) -> str:
    rows = (json.loads(line) for line in node.run("queue", "list", "--json").stdout.splitlines())
    return next((str(row["state"]) for row in rows if row["queue_id"] == queue_id), "gone")


def test_a_decision_by_mail_at_any_node_reaches_the_one_with_the_message(site: Site) -> None:
    one, two = site.nodes
    approved, refused = held_by(one), held_by(one)
    assert state_of(one, approved) == "held"
    approve = address_in_notice(one, "approve", approved)
    decide(two, approve)
    assert f"about {approved}: approved by {one.login}, handed to the other servers" in two.log()
    until(lambda: f"{approved}: approved by {one.login}" in one.log(), 20, one.log)
    assert state_of(one, approved) != "held"
    decide(one, approve)  # once
    assert f"about {approved}: it does not wait any more" in one.log()
    decide(two, address_in_notice(one, "refuse", refused))
    until(lambda: state_of(one, refused) == "gone", 20, one.log)
    assert f"The message was refused by {one.login}" in one.log()
    forged = address_in_notice(one, "approve", refused).replace("@", "0@")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        decide(two, forged)


def write_to_ann(node: Instance, subject: str, *fields: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as client:
        lines = (*fields, "From: eve@there.test", f"Subject: {subject}", "", "hello")
        client.sendmail("eve@there.test", [ANN], "\r\n".join(lines) + "\r\n")


def texts(node: Instance, user: str, subject: str) -> list[str]:
    found = [path.read_text() for path in node.mail(user)]
    return [text for text in found if f"Subject: {subject}\n" in text]


def test_a_copy_for_the_archive_is_known_at_each_node(site: Site) -> None:
    for node in site.nodes:
        node.set("archive", "incoming", node.login)
        reload(Runtime(str(node.folder / "run")).status)
    one, two = site.nodes
    write_to_ann(one, "first")
    (copy,) = until(lambda: texts(one, "joe", "first"), 20, one.log)
    mark = next(line for line in copy.splitlines() if line.startswith("X-Archive-Copy: "))
    write_to_ann(two, "back", mark)
    write_to_ann(two, "other")
    until(lambda: texts(two, "joe", "other"), 20, two.log)
    until(lambda: texts(two, "ann", "back"), 20, two.log)
    assert not texts(two, "joe", "back")
    for node in site.nodes:
        node.set("archive", "incoming", "")
        reload(Runtime(str(node.folder / "run")).status)


def test_a_recipient_that_one_node_has_asked_for_is_known_to_the_other(site: Site) -> None:
    def script(event: Event, talk: Talk) -> Reply | None:
        return Reply(550, "5.1.1", "unknown") if isinstance(event, RcptTo) else None

    with hosts(peer := FakeHost(script=script)):
        options = {"hosts": f"{peer.ip}:{peer.port}", "open": "yes", "verify_recipients": "yes"}
        for node in site.nodes:
            node.set_all({("direct away.test", name): value for name, value in options.items()})
            reload(Runtime(str(node.folder / "run")).status)
        for node in site.nodes:
            with closing(smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20)) as client:
                client.ehlo()
                client.mail("a@client.test")
                assert client.rcpt("nobody@away.test")[0] == 550
        assert sum(command.startswith("RCPT") for command in peer.commands) == 1
        for node in site.nodes:
            node.set("direct away.test", "verify_recipients", "no")


def blocked(node: Instance, ip: str) -> bool:
    with closing(smtplib.SMTP(timeout=10)) as client:
        client.source_address = (ip, 0)
        try:
            code, _ = client.connect("127.0.0.1", node.ports["smtp"])
        except smtplib.SMTPServerDisconnected:
            return True
        return code != 220


def test_a_block_by_one_node_holds_on_the_other_within_a_second(site: Site) -> None:
    one, two = site.nodes
    ip = "127.0.0.77"
    for password in ("a", "b", "c"):  # at both nodes together
        with suppress(smtplib.SMTPException), closing(session(two if password == "b" else one, ip)) as client:
            client.login(one.login, password)
    until(lambda: blocked(one, ip), 5)
    began = time.monotonic()
    until(lambda: blocked(two, ip), 5)
    assert time.monotonic() - began < 1.0
    listed = json.loads(two.run("block", "list", "--json").stdout)
    assert [(each["ip"], each["reason"]) for each in listed] == [(ip, "3 failed logins")]
    assert two.run("block", "remove", ip).returncode == 0
    until(lambda: not blocked(one, ip), 1.0)
    assert not blocked(two, ip)


def test_no_session_fails_while_redis_stops_and_starts(site: Site) -> None:
    """Sessions at both nodes, each with a login, while Redis is stopped, hangs, and comes back."""
    failures: list[str] = []
    sent: list[tuple[float, int]] = []  # when each was begun, and its recipients
    ending = threading.Event()

    def send(node: Instance, name: str) -> None:
        number = 0
        while not ending.is_set():
            number += 1
            began = time.monotonic()
            try:
                with closing(logged_in(node)) as client:
                    sent.append((began, accepted(client, node, [f"{name}{number}@away.example"])))
            except (smtplib.SMTPException, OSError) as problem:
                failures.append(str(problem))

    for node in site.nodes:
        node.set("limits", "recipients_per_hour", "100000")
        node.set("limits", "recipients_per_day", "100000")
        node.reload()
    until(lambda: all("reload -- " in node.log() for node in site.nodes), 20)
    named = zip("ab", site.nodes, strict=True)
    senders = [threading.Thread(target=send, args=(node, name), daemon=True) for name, node in named]
    for sender in senders:
        sender.start()
    until(lambda: len(sent) > 5, 20)
    site.redis.stop()
    stopped = time.monotonic()
    goal = len(sent) + 10
    until(lambda: len(sent) > goal, 30)
    wait_for(site, DOWN)
    assert '"state": "down"' in site.nodes[0].run("status", "--json").stdout
    assert "the shared state does not answer" in site.nodes[0].run("status", "--check").stdout
    site.redis.start()
    wait_for(site, UP)
    site.redis.pause()
    wait_for(site, DOWN)
    site.redis.go_on()
    wait_for(site, UP)
    ending.set()
    for sender in senders:
        sender.join(30)
    assert failures == []
    assert {number for _, number in sent} == {1}
    for said in changes(site):  # each change once, by one of the processes
        assert all(before != after for before, after in pairwise(said)), said

    def counted() -> bool:
        rows = json.loads(site.nodes[0].run("limits", "list", "--json").stdout)
        return bool(rows) and rows[0]["hour"] >= sum(began > stopped for began, _ in sent)

    until(counted, 20, lambda: f"{len(sent)} sent, {site.nodes[0].run('limits', 'list').stdout}")


def test_a_server_starts_without_redis_when_it_has_the_secrets() -> None:
    with folder_for_servers() as folder:
        site = Site(folder)
        node = site.nodes[0]
        refused = node.run("serve")
        assert refused.returncode == os.EX_TEMPFAIL, refused.stderr
        assert "does not answer" in refused.stderr
        for name in SECRETS:
            (node.folder / name).write_text("x" * 64)
        node.start()
        try:
            with closing(logged_in(node)) as client:
                assert accepted(client, node, ["bob@away.example"]) == 1
            assert "does not answer" in node.run("check").stderr
        finally:
            node.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder must belong to another user")
def test_a_service_that_may_not_write_beside_its_configuration_says_how_to_make_the_secrets() -> None:
    with folder_for_servers() as folder:
        site = Site(folder)
        site.redis.start()
        try:
            node = site.nodes[0]
            os.chown(node.folder, 0, 0)
            as_service = ("--reuid=nobody", "--regid=nogroup", "--clear-groups")
            command = [need("setpriv"), *as_service, sys.executable, "-m", "smtpd_classic", "--config", str(node.file)]
            refused = subprocess.run([*command, "serve"], capture_output=True, text=True, timeout=60)
            assert refused.returncode == os.EX_CANTCREAT, refused.stderr
            path = node.folder / "srs-secret"
            assert f"openssl rand -hex 32 | install -m 640 -g nobody /dev/stdin {path}" in refused.stderr
        finally:
            site.redis.stop()


def test_a_password_comes_from_a_file() -> None:
    with folder_for_servers() as folder, ExitStack() as stack:
        redis = RedisServer(folder, "--requirepass", "very secret")
        redis.start()
        stack.callback(redis.stop)
        node = Instance(folder / "three")
        node.set("server", "shared_state", redis.url)
        node.set("server", "shared_state_password_file", "redis-password")
        assert "redis-password cannot be read" in node.run("check").stderr
        (node.folder / "redis-password").write_text("very secret\n")
        if os.geteuid() == 0:
            (node.folder / "redis-password").chmod(0o600)
            refused = node.run("serve")
            assert refused.returncode == os.EX_CONFIG
            assert "redis-password cannot be read: Permission denied" in refused.stderr
        (node.folder / "redis-password").chmod(0o644)
        node.start()
        stack.callback(node.stop)
        until(lambda: '"state": "up"' in _after_a_login(node), 10, node.log)
        assert "secret" not in node.log().replace("srs-secret", "")


def _after_a_login(node: Instance) -> str:
    logged_in(node).close()
    return node.run("status", "--json").stdout


def test_nothing_is_asked_without_the_option() -> None:
    with folder_for_servers() as folder:
        node = Instance(folder / "alone")
        node.start()
        try:
            logged_in(node).close()
            assert not {"srs-secret", "approval-secret"} & set(os.listdir(node.folder))
            assert not (node.folder / "run" / "shared").exists()
            assert json.loads(node.run("status", "--json").stdout)["shared_state"] is None
        finally:
            node.stop()


def test_reloads_of_one_process_without_redis_lose_no_count_and_leave_no_thread() -> None:
    with folder_for_servers() as folder, ExitStack() as stack:
        site = Site(folder)
        node = site.nodes[0]
        node.set("server", "workers", "1")
        site.redis.start()
        stack.callback(site.redis.stop)
        node.start()
        stack.callback(node.stop)
        site.redis.stop()
        send_one(node)
        until(lambda: DOWN in node.log(), 20)
        before = threads(node)
        for number in range(1, 6):
            node.reload()
            until(partial(has_reloaded, node, number), 20, node.log)
            send_one(node)
        until(lambda: threads(node) <= before + 2, 40, lambda: f"{before}, now {threads(node)}")
        site.redis.start()
        until(lambda: UP in node.log(), 20, node.log)
        until(lambda: hour(site.redis, node) == "6", 10, lambda: hour(site.redis, node))


def hour(redis: RedisServer, node: Instance) -> str:
    """The recipients of its user within an hour, as Redis has them."""
    secret = (node.folder / SECRETS[0]).read_bytes()
    with closing(SharedState(redis.url, secret.strip())) as state:
        return str(state.ask(lambda client: client.hget(state.key("count", f"account {node.login}"), "n hour")))


def has_reloaded(node: Instance, number: int) -> bool:
    return node.log().count("reload -- ") == number


def threads(node: Instance) -> int:
    assert node.process is not None
    return len(os.listdir(f"/proc/{node.process.pid}/task"))


def send_one(node: Instance) -> None:
    with closing(logged_in(node)) as client:
        assert accepted(client, node, ["bob@away.example"]) == 1
