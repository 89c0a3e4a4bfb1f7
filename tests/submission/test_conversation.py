"""The client's side of local submission, with servers that do not answer as they should."""

from collections.abc import Callable

import pytest

from smtpd_classic.submission.conversation import ChannelBroken, Conversation
from tests.submission.test_message import letter

LETTER = letter(b"Subject: x\n\ntext\n")._replace(recipients=("a", "b", "c@d.example"))
HELLO = b"220 hi\r\n250-hi\r\n250-LIMITS RCPTMAX=2\r\n250 XLOCAL here.example\r\n"


class Script:
    """A server that answers each command by `answer`; it says nothing more when that is None."""

    def __init__(self, answer: Callable[[str], bytes | None], banner: bytes = HELLO) -> None:
        self.commands: list[str] = []
        self._answer = answer
        self._out: bytes | None = banner
        self._content = False

    def send(self, data: bytes) -> None:
        if self._out is None:
            raise BrokenPipeError
        for line in data.decode().splitlines():
            if line.startswith("EHLO"):
                continue
            if self._content and line != ".":
                continue
            self._content = False
            self.commands.append(line)
            answer = self._answer(line)
            if answer is None:
                self._out = None
                return
            self._content = answer.startswith(b"354")
            self._out += answer

    def receive(self) -> bytes:
        out, self._out = self._out or b"", b"" if self._out is not None else None
        return out


def usual(command: str) -> bytes | None:
    if command == "DATA":
        return b"354 go on\r\n"
    return b"250 2.0.0 Queued as ID\r\n" if command == "." else b"250 2.1.5 ok\r\n"


def submitted(script: Script) -> tuple[list[str], dict[str, int], dict[str, int]]:
    """Queue ids, and the codes of those refused and those left."""
    conversation = Conversation(script)
    conversation.open()
    fate = conversation.submit(LETTER)
    conversation.close()
    return (
        fate.queue_ids,
        {recipient: answer.code for recipient, answer in fate.refused.items()},
        {recipient: answer.code for recipient, answer in fate.left.items()},
    )


def test_recipients_are_sent_to_in_groups_that_the_server_takes() -> None:
    script = Script(usual)
    assert submitted(script) == (["ID", "ID"], {}, {})
    assert [command.partition(" SIZE")[0] for command in script.commands] == [
        *("MAIL FROM:<joe@here.example>", "RCPT TO:<a@here.example>", "RCPT TO:<b@here.example>", "DATA", "."),
        *("MAIL FROM:<joe@here.example>", "RCPT TO:<c@d.example>", "DATA", ".", "QUIT"),
    ]


def test_what_cannot_be_said_to_a_server_is_asked_for() -> None:
    script = Script(usual)
    conversation = Conversation(script)
    conversation.open()
    conversation.submit(LETTER._replace(recipients=("é",), eight_bit=True, notify="NEVER", ret="HDRS", envid="x"))
    size = LETTER.size
    assert script.commands[:2] == [
        f"MAIL FROM:<joe@here.example> SIZE={size} BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x",
        "RCPT TO:<é@here.example> NOTIFY=NEVER",
    ]


def answering(answers: dict[str, bytes | None]) -> Callable[[str], bytes | None]:
    """As usual, but to commands that begin so."""

    def answer(command: str) -> bytes | None:
        return next((said for begin, said in answers.items() if command.startswith(begin)), usual(command))

    return answer


Fates = tuple[list[str], dict[str, int], dict[str, int]]
CASES: dict[str, tuple[dict[str, bytes | None], Fates]] = {
    "one is refused": ({"RCPT TO:<a": b"550 5.1.1 no\r\n"}, (["ID", "ID"], {"a": 550}, {})),
    "one is put off": ({"RCPT TO:<a": b"452 4.2.2 full\r\n"}, (["ID", "ID"], {}, {"a": 452})),
    "a whole group is refused": (
        {"RCPT TO:<a": b"550 5.1.1 no\r\n", "RCPT TO:<b": b"452 4.2.2 full\r\n"},
        (["ID"], {"a": 550}, {"b": 452}),
    ),
    "the sender is refused": (
        {"MAIL": b"501 5.1.7 no\r\n", "RCPT": b"503 no\r\n"},
        ([], dict.fromkeys("ab", 501) | {"c@d.example": 501}, {}),
    ),
    "the message is refused": ({".": b"554 5.6.0 no\r\n"}, ([], dict.fromkeys("ab", 554) | {"c@d.example": 554}, {})),
    "the message is put off": ({".": b"452 4.3.1 full\r\n"}, ([], {}, dict.fromkeys("ab", 452) | {"c@d.example": 452})),
    "no content is wanted": ({"DATA": b"554 5.5.3 no\r\n"}, ([], dict.fromkeys("ab", 554) | {"c@d.example": 554}, {})),
    "the server stops in the middle": ({"RCPT TO:<c": b"421 4.3.2 bye\r\n"}, (["ID"], {}, {"c@d.example": 421})),
    "the server stops at the end": (
        {".": b"421 4.3.2 bye\r\n"},
        ([], {}, dict.fromkeys("ab", 421) | {"c@d.example": 421}),
    ),
    "the connection breaks at the beginning": (
        {"MAIL": None},
        ([], {}, dict.fromkeys("ab", 421) | {"c@d.example": 421}),
    ),
    "the connection breaks at the end": ({".": None}, ([], {}, dict.fromkeys("ab", 421) | {"c@d.example": 421})),
    "the connection breaks later": ({"RCPT TO:<c": None}, (["ID"], {}, {"c@d.example": 421})),
    "what is refused stays refused when it breaks": (
        {"RCPT TO:<a": b"550 5.1.1 no\r\n", "DATA": None},
        ([], {"a": 550}, {"b": 421, "c@d.example": 421}),
    ),
    "the answer is none": ({"DATA": b"what?\r\n"}, ([], {}, dict.fromkeys("ab", 421) | {"c@d.example": 421})),
}


@pytest.mark.parametrize(("answers", "fates"), CASES.values(), ids=CASES)
def test_everybody_has_a_fate(answers: dict[str, bytes | None], fates: Fates) -> None:
    assert submitted(Script(answering(answers))) == fates


@pytest.mark.parametrize(
    "banner", [b"", b"421 4.3.2 Too busy\r\n", b"220 hi\r\n500 what\r\n", b"SSH-2.0\r\n", b"220 " + b"x" * 2_000_000]
)
def test_a_server_that_is_none_is_told(banner: bytes) -> None:
    with pytest.raises(ChannelBroken):
        Conversation(Script(usual, banner)).open()


def test_all_that_is_said_is_told() -> None:
    told: list[str] = []
    conversation = Conversation(Script(usual), told.append)
    conversation.open()
    conversation.submit(LETTER._replace(recipients=("a",)))
    conversation.close()
    assert told[:3] == ["220 hi", ">>> EHLO localhost", "250-hi"]
    assert ">>> DATA" in told
    assert told[-2:] == [">>> QUIT", "250 2.1.5 ok"]
