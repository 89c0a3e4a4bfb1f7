"""A stranger must wait for the reply that ends a group of commands (RFC 2920 3.1); what may be pipelined is served."""

import pytest

from smtpd_classic.smtp.events import AuthAbandoned, Content, Pause
from smtpd_classic.smtp.session import Extensions, ServerSession
from tests.dialogs.scene import TLS, accept

GROUP = b"MAIL FROM:<a@bar.com>\r\nRCPT TO:<joe@foo.com>\r\nDATA\r\n"


class Client:
    def __init__(self, *, trusted: bool = False, strict: bool = True) -> None:
        offered = Extensions("foo.com", 1000, 100, True, (), False, False, strict_pipelining=strict)
        self.session = ServerSession(offered)
        self.session.trusted = trusted
        self.send(b"")

    def send(self, data: bytes) -> list[str]:
        """Send in one packet; return the codes of the replies."""
        self.session.receive_data(data)
        while not isinstance(event := self.session.next_event(), Pause):
            if not isinstance(event, Content | AuthAbandoned):
                self.session.answer(accept(event))
        lines = self.session.data_to_send().decode().splitlines()
        return [line[:3] for line in lines if line[3:4] == " "]


@pytest.mark.parametrize(
    ("packets", "codes"),
    [
        ([b"EHLO bar.com\r\nMAIL FROM:<a@bar.com>\r\n"], ["554"]),
        ([b"EHLO bar.com\r\n", GROUP + b"Subject: early\r\n\r\n.\r\n"], ["250", "250", "554"]),
        ([b"EHLO bar.com\r\n", b"STARTTLS\r\nEHLO bar.com\r\n"], ["554"]),
    ],
    ids=["EHLO", "DATA", "STARTTLS"],
)
def test_a_stranger_that_does_not_wait_is_refused(packets: list[bytes], codes: list[str]) -> None:
    client = Client()
    for packet in packets[:-1]:
        client.send(packet)
    assert client.send(packets[-1]) == codes
    assert client.session.next_event() is Pause.CLOSED


def test_groups_are_served_and_so_is_the_next_group_behind_the_content() -> None:
    client = Client()
    assert client.send(b"EHLO bar.com\r\n") == ["250"]
    assert client.send(GROUP) == ["250", "250", "354"]
    assert client.send(b"Subject: in time\r\n\r\n.\r\n" + GROUP) == ["250", "250", "250", "354"]
    assert client.send(b".\r\nQUIT\r\n") == ["250", "221"]


@pytest.mark.parametrize("options", [{"trusted": True}, {"strict": False}], ids=["trusted", "switched off"])
def test_clients_of_ours_and_a_lenient_server_serve_it(options: dict[str, bool]) -> None:
    client = Client(**options)
    assert client.send(b"EHLO bar.com\r\n" + GROUP) == ["250", "250", "250", "354"]


def test_behind_starttls_nothing_in_the_clear_is_carried_out_for_anyone() -> None:
    client = Client(trusted=True)
    client.send(b"EHLO bar.com\r\n")
    assert client.send(b"STARTTLS\r\nMAIL FROM:<a@bar.com>\r\n") == ["220"]
    client.session.tls_started(TLS)
    assert client.send(b"RCPT TO:<joe@foo.com>\r\n") == ["503"]
