"""sendmail with a server that runs: who calls it, with which flags, and what arrives."""

import os
import pwd
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import running
from tests.submission.programs import Programs
from tests.submission.test_flags import CRON
from tests.tools import need
from tests.waiting import until

MESSAGE = b"Subject: x\n\ntext\n"


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    with running(domain="example.org", basic__max_message_size="1M", basic__copy_bounces="none") as server:
        for name in ("ann", "bob"):
            made = server.run("user", "add", f"{name}@example.org", "--password-stdin", input="secret word")
            assert made.returncode == 0, made.stderr
        yield Programs(server)


class Inbox:
    """The new messages of the three accounts since the test began."""

    def __init__(self, programs: Programs) -> None:
        self._server = programs.server
        self._before = {path for user in ("joe", "ann", "bob") for path in self._server.mail(user)}

    def __call__(self, user: str = "joe", count: int = 1) -> list[bytes]:
        def fresh() -> list[Path]:
            return [path for path in self._server.mail(user) if path not in self._before]

        until(lambda: len(fresh()) >= count, 20, lambda: f"{len(fresh())} of {count}: {self._server.log()}")
        return [path.read_bytes() for path in fresh()]

    def nothing_for(self, user: str) -> bool:
        return all(path in self._before for path in self._server.mail(user))


@pytest.fixture
def inbox(programs: Programs) -> Inbox:
    return Inbox(programs)


def test_a_message_arrives_with_its_sender_and_its_user(programs: Programs, inbox: Inbox) -> None:
    done = programs.run("sendmail", "joe", message=b"Hello.\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (message,) = inbox()
    assert message.startswith(b"Return-Path: <root@example.org>\nEnvelope-To: joe@example.org\n")
    assert b"(smtpd-classic, from userid 0)" in message
    assert b"\nFrom: root <root@example.org>\n" in message
    assert b"\nDate: " in message
    assert re.search(rb"\nMessage-ID: <\w+@example\.org>\n", message)
    assert message.endswith(b"\n\nHello.\n")
    assert re.search(r"/pickup\[\d+\]: \w+: uid=0 from=<root@example\.org>", programs.server.log())


def test_cron(programs: Programs, inbox: Inbox) -> None:
    """What cron writes, and its flags."""
    report = (
        b"From: root (Cron Daemon)\nTo: joe\nSubject: Cron <root@host> run-parts /etc/cron.hourly\nMIME-Version: 1.0\n"
        b"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\n"
        b"first\n.\nlast \xc3\xa4\n"
    )
    done = programs.run("sendmail", *CRON, message=report)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (message,) = inbox()
    assert message.startswith(b"Return-Path: <root@example.org>\n")
    assert b"\nFrom: root@example.org (Cron Daemon)\nTo: joe@example.org\nSubject: Cron <root@host>" in message
    assert message.endswith(b"\n\nfirst\n.\nlast \xc3\xa4\n")


def test_php(programs: Programs, inbox: Inbox) -> None:
    """mail() of the real PHP."""
    script = (
        "exit(mail('joe@example.org, Ann <ann@example.org>', 'Grüße', \"first\\r\\n.\\r\\nlast\\r\\n\", "
        '"From: web@example.org\\r\\nBcc: bob@example.org") ? 0 : 1);'
    )
    command = [need("php"), "-d", f"sendmail_path={programs.sendmail} -t -i", "-r", script]
    subprocess.run(command, check=True, env=programs.environment(), timeout=60)
    for user in ("joe", "ann", "bob"):
        (message,) = inbox(user)
        assert b"bob" not in message.partition(b"\n\n")[0].replace(b"Envelope-To: bob@example.org", b"")
        assert "\nSubject: Grüße\n".encode() in message
        assert b"\nFrom: web@example.org\n" in message
        assert message.endswith(b"\n\nfirst\n.\nlast\n\n")


def test_php_is_told_when_nobody_gets_it(programs: Programs) -> None:
    command = [need("php"), "-d", f"sendmail_path={programs.sendmail} -t -i", "-r"]
    done = subprocess.run(
        [*command, "exit(mail('nobody@example.org', 'x', 'y') ? 0 : 1);"],
        capture_output=True,
        env=programs.environment(),
        timeout=60,
    )
    assert done.returncode == 1
    assert b"550 5.1.1" in done.stderr


def test_mail(programs: Programs, inbox: Inbox, tmp_path: Path) -> None:
    """bsd-mailx, as it is installed, but for which sendmail it calls."""
    settings = tmp_path / "mailrc"
    settings.write_text(f"set sendmail={programs.sendmail}\n")
    command = [need("mail"), "-s", "Hello", "-c", "ann", "-b", "bob", "joe"]
    environment = programs.environment() | {"MAILRC": str(settings)}
    done = subprocess.run(command, input=b"first\n.last\n", capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    for user in ("joe", "ann", "bob"):
        (message,) = inbox(user)
        assert b"\nTo: joe@example.org\n" in message
        assert b"\nCc: ann@example.org\n" in message
        assert b"\nBcc:" not in message
        assert b"\nSubject: Hello\n" in message
        assert message.endswith(b"\n\nfirst\n.last\n")


def test_python(programs: Programs, inbox: Inbox) -> None:
    """As the documentation of its email module shows it."""
    script = (
        "import subprocess, sys\nfrom email.message import EmailMessage\nm = EmailMessage()\n"
        "m['To'] = 'Jörg <joe@example.org>'\nm['From'] = 'ann@example.org'\nm['Subject'] = 'Übung'\n"
        "m.set_content('äöü\\n' * 3)\n"
        "subprocess.run([sys.argv[1], '-t', '-oi'], input=m.as_bytes(), check=True)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, programs.sendmail], check=True, env=programs.environment(), timeout=60
    )
    (message,) = inbox()
    assert b"\nTo: =?utf-8?" in message


def test_a_blind_copy_stays_blind_without_t(programs: Programs, inbox: Inbox) -> None:
    """mutt writes Bcc and names the recipients on the command line."""
    done = programs.run("sendmail", "-oi", "--", "joe", "ann", message=b"To: joe\nBcc: ann\n\ntext\n")
    assert done.returncode == 0, done.stderr
    for user in ("joe", "ann"):
        assert b"Bcc" not in inbox(user)[0]
    assert b"\nEnvelope-To:" not in inbox("ann")[0]


def test_recipients_of_header_and_command_line_together(programs: Programs, inbox: Inbox) -> None:
    done = programs.run("sendmail", "-t", "ann", message=b"To: joe, joe@example.org\n\ntext\n")
    assert done.returncode == 0, done.stderr
    assert len(inbox()) == 1
    assert len(inbox("ann")) == 1


def test_a_message_is_sent_again_only_to_whom_it_is_sent_again(programs: Programs, inbox: Inbox) -> None:
    done = programs.run("sendmail", "-t", message=b"Resent-To: ann\nTo: joe\nFrom: a@b.example\n\ntext\n")
    assert done.returncode == 0, done.stderr
    assert b"\nResent-From: root <root@example.org>\n" in inbox("ann")[0]
    assert inbox.nothing_for("joe")


def test_the_sender_is_free_but_told(programs: Programs, inbox: Inbox) -> None:
    done = programs.run(
        "sendmail", "-f", "boss@elsewhere.example", "-F", "The Boss", "joe", message=b"x\n", user="games"
    )
    assert done.returncode == 0, done.stderr
    (message,) = inbox()
    assert message.startswith(b"Return-Path: <boss@elsewhere.example>\n")
    uid = pwd.getpwnam("games").pw_uid
    assert f"from userid {uid})".encode() in message
    assert b"\nFrom: The Boss <boss@elsewhere.example>\n" in message
    assert f": uid={uid} from=<boss@elsewhere.example>" in programs.server.log()


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_sender(programs: Programs, inbox: Inbox, sender: str) -> None:
    assert programs.run("sendmail", "-f", sender, "joe", message=b"x\n").returncode == 0
    assert inbox()[0].startswith(b"Return-Path: <>\n")


def test_more_recipients_than_one_message_takes(programs: Programs, inbox: Inbox) -> None:
    many = [f"joe+{number}@example.org" for number in range(250)]
    done = programs.run("sendmail", *many, message=MESSAGE)
    assert done.returncode == 0, done.stderr
    assert len(inbox(count=3)) == 3  # one copy for each message, because it is one mailbox


def test_those_who_exist_get_it_and_the_others_are_named(programs: Programs, inbox: Inbox) -> None:
    done = programs.run("sendmail", "joe", "nobody", "no.one", message=MESSAGE)
    assert done.returncode == os.EX_NOUSER
    assert done.stderr.decode().splitlines() == [
        "sendmail: <nobody>: 550 5.1.1 User unknown here; check the address.",
        "sendmail: <no.one>: 550 5.1.1 User unknown here; check the address.",
        "sendmail: The other recipients get the message.",
    ]
    assert len(inbox()) == 1


def test_what_is_said_can_be_seen(programs: Programs) -> None:
    done = programs.run("sendmail", "-v", "joe", message=MESSAGE)
    assert done.returncode == 0
    assert re.search(rb">>> MAIL FROM:<root@example\.org> SIZE=\d+\n", done.stderr)
    assert re.search(rb"\n250 2\.0\.0 Queued as \w+\n", done.stderr)


STATUSES: dict[str, tuple[list[str | bytes], bytes, int, str]] = {
    "an unknown flag": (["-Z"], b"", os.EX_USAGE, "there is no flag -Z; see sendmail(1)."),
    "no recipient": ([], MESSAGE, os.EX_USAGE, "Name a recipient, or use -t to take those in the header."),
    "a flag behind a recipient": (
        ["joe", "-t"],
        MESSAGE,
        os.EX_USAGE,
        "-t stands behind a recipient; flags come first.",
    ),
    "no recipient in the header": (["-t"], MESSAGE, os.EX_DATAERR, "The header names no recipient in To, Cc or Bcc."),
    "an unreadable header": (["-t"], b"To: joe ann\n\n", os.EX_DATAERR, "To: two words without a comma: “joe ann”."),
    "an unreadable recipient": (["<joe"], b"", os.EX_DATAERR, "an angle bracket has no end: “<joe”."),
    "a recipient that is no UTF-8": ([b"j\xf6rg"], b"", os.EX_DATAERR, "not all of it can be printed: “j?rg”."),
    "a recipient of two lines": (
        ['"joe\r\nRCPT TO:<ann>"@example.org'],
        b"",
        os.EX_DATAERR,
        'not all of it can be printed: “"joe??RCPT TO:<ann>"@example.org”.',
    ),
    "two senders": (["-f", "a,b", "joe"], b"", os.EX_DATAERR, "The sender is not one address."),
    "an unreadable sender": (
        ["-f", "a b", "joe"],
        b"",
        os.EX_DATAERR,
        "The sender cannot be read: two words without a comma: “a b”.",
    ),
    "a sender that is none": (["-f", "a@-x", "joe"], MESSAGE, os.EX_DATAERR, "501 5.1.7"),
    "nobody": (["nobody"], MESSAGE, os.EX_NOUSER, "<nobody>: 550 5.1.1 User unknown here; check the address."),
    "too big": (
        ["joe"],
        b"x" * 2_000_000,
        os.EX_DATAERR,
        "<joe>: 552 5.3.4 The message is too big; send at most 1048576 octets.",
    ),
    "a loop": (
        ["joe"],
        b"Received: x\n" * 101 + b"\n",
        os.EX_UNAVAILABLE,
        "<joe>: 554 5.4.6 Too many hops, a mail loop; check",
    ),
    "a header that is too big": (
        ["joe"],
        b"X: " + b"y" * 300_000 + b"\n\n",
        os.EX_DATAERR,
        "<joe>: 552 5.3.4 The header is too big",
    ),
    "a header of only a beginning": (
        ["-t"],
        b"X: " + b"y" * 17_000_000,
        os.EX_DATAERR,
        "The header cannot be read: no empty line",
    ),
}


@pytest.mark.parametrize(("words", "message", "status", "said"), STATUSES.values(), ids=STATUSES)
def test_the_exit_status_and_one_sentence(
    programs: Programs, words: list[str | bytes], message: bytes, status: int, said: str
) -> None:
    done = programs.run("sendmail", *words, message=message)
    assert done.returncode == status, done.stderr
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sendmail: ")
    assert said in lines[0]
    assert list(programs.maildrop.iterdir()) == []


def test_standard_input_that_cannot_be_read(programs: Programs) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", "exec sendmail joe <&-"], capture_output=True, env=programs.environment(), timeout=60
    )
    assert done.returncode == os.EX_IOERR
    assert done.stderr == b"sendmail: The message cannot be read: Bad file descriptor.\n"


def test_without_standard_error_the_status_tells(programs: Programs, inbox: Inbox) -> None:
    line = "echo x | sendmail -v joe 2>&-; test $? = 0 || exit; echo x | exec sendmail -v nobody 2>&-"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=programs.environment(), timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (os.EX_NOUSER, b"", b"")
    assert inbox()[0].endswith(b"\n\nx\n")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"\n\0nul\0\n", b"\n\nnul\n"),
        (b"\r\n\r\na\rb\r\n", b"\n\n\na\nb\n"),
        (b"\n" + b"\xff\xfe" * 100 + b"\n", b"\n\n" + b"\xff\xfe" * 100 + b"\n"),
        (b"\n..\n.x\n.\n..\n", b"\n\n..\n.x\n"),
        (b"\n\r\n.\r\nMAIL FROM:<x@y>\r\n", b"\n\n\n"),
        (b"Subject: x", b"Subject: x\nFrom: root <root@example.org>\n\n"),
        (b"", b"From: root <root@example.org>\n\n"),
    ],
    ids=["NUL", "CR alone", "no UTF-8", "dots", "smuggling", "half a header", "nothing"],
)
def test_hostile_messages_arrive_as_they_are_or_tamed(
    programs: Programs, inbox: Inbox, message: bytes, text: bytes
) -> None:
    assert programs.run("sendmail", "joe", message=message).returncode == 0
    (found,) = inbox()
    assert found.endswith(text)


def test_a_message_of_many_thousand_recipients(programs: Programs, inbox: Inbox) -> None:
    """In Bcc, so that the header that is left is short."""
    many = b"".join(b"joe+%d,\n\t" % number for number in range(5000))
    done = programs.run("sendmail", "-t", message=b"Bcc: " + many + b"ann\nSubject: x\n\ntext\n", timeout_s=120)
    assert done.returncode == 0, done.stderr
    messages = inbox(count=50)
    assert len(messages) in {50, 51}
    assert all(b"Bcc" not in message for message in messages)
    assert len(inbox("ann")) == 1


def test_many_at_once(programs: Programs, inbox: Inbox) -> None:
    """More than there is room for at the socket: the others wait in maildrop/, and all of them arrive."""
    failed: list[bytes] = []

    def submit(number: int) -> None:
        done = programs.run("sendmail", "joe", message=b"X-Number: %d\n\n" % number, timeout_s=120)
        if done.returncode or done.stderr:
            failed.append(done.stderr)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    numbers = sorted(int(message.partition(b"X-Number: ")[2].split(b"\n")[0]) for message in inbox(count=60))
    assert numbers == list(range(60))


# SMTP on standard input ---------------------------------------------------------------------------------------------


def test_smtp_on_standard_input(programs: Programs, inbox: Inbox) -> None:
    session = (
        b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
        b"DATA\r\nSubject: x\r\n\r\ntext\r\n.\r\nQUIT\r\n"
    )
    done = programs.run("sendmail", "-bs", message=session)
    assert done.returncode == 0, done.stderr
    codes = [line[:3] for line in done.stdout.decode().splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "550", "354", "250", "221"]
    assert b"STARTTLS" not in done.stdout
    assert b"AUTH" not in done.stdout
    (message,) = inbox()
    assert message.endswith(b"Subject: x\n\ntext\n")


def test_smtp_that_ends_without_goodbye(programs: Programs) -> None:
    done = programs.run("sendmail", "-bs", message=b"EHLO x\r\nNOOP\r\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith(b"250 2.0.0")


# The queue and the aliases ------------------------------------------------------------------------------------------


def test_mailq_and_flush() -> None:
    """With a relay at which nobody listens."""
    relay = {"remote__relay_hosts": "127.0.0.1", "remote__relay_port": "1", "remote__relay_always": "yes"}
    with running(domain="example.org", **relay) as server:
        programs = Programs(server)
        assert programs.run("mailq").stdout == b"Mail queue is empty\n"
        assert programs.run("sendmail", "-f", "ann", "friend@elsewhere.example", message=MESSAGE).returncode == 0
        until(lambda: "status=deferred" in server.log(), 20, server.log)
        said = until(lambda: _listing(programs, b"connection refused"), 20)
        lines = said.decode().splitlines()
        assert lines[0] == "-Queue ID-            --Size-- ---Arrival Time---- -Sender/Recipient------"
        assert re.fullmatch(r"\w+ +\d+ \w{3} \w{3} [\d ]\d \d\d:\d\d:\d\d ann@example\.org", lines[1])
        assert lines[3:] == [" " * 51 + "friend@elsewhere.example", "", "-- 1 Kbytes in 1 Request."]
        for words in ("-q",), ("-q30m",), ("-qRelsewhere",), ("-qSann@",), ("-qI" + lines[1].split()[0],):
            _flush(programs, *words)
        assert programs.run("sendmail", "-qInone").returncode == os.EX_NOINPUT


def _flush(programs: Programs, *words: str) -> None:
    """It is tried once more, and nothing is said."""
    until(lambda: not re.search(rb"\n\w+\*", programs.run("mailq").stdout))
    tries = programs.server.log().count("status=deferred")
    done = programs.run("sendmail", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    until(lambda: programs.server.log().count("status=deferred") > tries, 20, programs.server.log)


def _listing(programs: Programs, word: bytes) -> bytes:
    said = programs.run("mailq").stdout
    return said if word in said else b""


@pytest.mark.parametrize("words", [("mailq",), ("sendmail", "-bp"), ("sendmail", "-q"), ("newaliases",)])
def test_the_queue_is_not_for_everybody(programs: Programs, words: tuple[str, ...]) -> None:
    done = programs.run(*words, user="games")
    assert done.returncode in {os.EX_NOPERM, os.EX_CONFIG}
    assert done.stdout == b""
    assert done.stderr.startswith(words[0].encode() + b": ")


def test_newaliases_counts_and_complains(programs: Programs) -> None:
    aliases = programs.server.folder / "aliases"
    before = aliases.read_text()
    done = programs.run("newaliases")
    assert (done.returncode, done.stdout) == (0, f"{aliases}: 1 alias\n".encode())
    try:
        aliases.write_text(before + "root: joe\nloop: loop\nrun: |/bin/true\n")
        done = programs.run("sendmail", "-bi")
        assert done.returncode == os.EX_CONFIG
        assert done.stdout == b""
        lines = done.stderr.decode().splitlines()
        assert [line.partition(": ")[0] for line in lines] == [f"{aliases}:{number}" for number in (3, 4)]
        aliases.write_text(before + "root: joe\n")
        assert programs.run("newaliases").stdout == f"{aliases}: 2 aliases\n".encode()
        assert programs.run("sendmail", "root", message=MESSAGE).returncode == 0
    finally:
        aliases.write_text(before)


# The manual ---------------------------------------------------------------------------------------------------------

MANUAL = Path(__file__).parents[2] / "man" / "sendmail.1"


def examples() -> list[str]:
    """The command lines under EXAMPLES."""
    text = MANUAL.read_text(encoding="utf-8").partition(".Sh EXAMPLES\n")[2].partition(".Sh ")[0]
    found = re.findall(r"^[$#] (.+)$", text, re.MULTILINE)
    return [line.replace("\\e", "\\") for line in found]


@pytest.mark.parametrize("line", examples())
def test_the_examples_of_the_manual(programs: Programs, tmp_path: Path, line: str) -> None:
    (tmp_path / "letter.txt").write_text("To: joe\nCc: Ann <ann@example.org>\nSubject: x\n\nHello.\n")
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, cwd=tmp_path, env=programs.environment(), timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_manual_names_every_flag_and_status() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    assert len(examples()) == 7
    for status in (64, 65, 67, 69, 70, 71, 74, 75, 77, 78):
        assert f"\n.It {status}\n" in text
    for flag in ("bm", "bp", "bi", "bs", "C", "F", "f", "i", "N", "q", "R", "t", "V", "v"):
        assert re.search(rf"^\.It .*Fl {flag}\b", text, re.MULTILINE), flag


@pytest.mark.parametrize("name", ["sendmail.1", "mailq.1", "newaliases.1"])
def test_the_manual_is_well_formed(name: str) -> None:
    done = subprocess.run(
        [need("mandoc"), "-T", "lint", "-W", "warning", MANUAL.parent / name], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
