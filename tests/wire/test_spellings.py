"""Addresses of people elsewhere, whose domain has two spellings, and in whose local part the case is free."""

from tests.client.fake_host import FakeHost, hosts
from tests.wire.world import ANN, JOE, World, to

STAFF = "staff@example.test"
U_LABEL, A_LABEL = "bücher.test", "xn--bcher-kva.test"


def posted(world: World, author: str) -> str:
    with world.client() as client:
        answer = client.envelope(author, STAFF)
        return client.content(world.text(world.tag(), author)) if answer.startswith("250") else answer


def test_a_member_elsewhere_may_write_its_address_in_any_case(world: World) -> None:
    group = {"members": f"{ANN}, Eve@Pass.test", "owner": JOE, "post": "members"}
    with hosts(peer := FakeHost()):
        world.given({"authentication": {"check": "yes"}, f"group {STAFF}": group, "direct pass.test": to(peer)})
        assert posted(world, "eve@pass.test").startswith("250")
        assert posted(world, "bob@pass.test").startswith("550 5.7.1")


def test_two_spellings_are_one_recipient_of_the_sending_limits(world: World) -> None:
    with hosts(peer := FakeHost()):
        limits = {"recipients_per_hour": "1", "over_limit": "refuse"}
        world.given({"limits": limits, f"direct {U_LABEL}": to(peer)})
        world.command("limits", "reset", JOE)
        with world.client(JOE) as client:
            client.command_encoding = "utf-8"
            recipients = (f"bob@{U_LABEL}", f"Bob@{A_LABEL}")
            assert client.envelope(JOE, *recipients, parameters=" SMTPUTF8").startswith("250")
            assert client.say(f"RCPT TO:<eve@{A_LABEL}>").startswith("550 5.7.1")
