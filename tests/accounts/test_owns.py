from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from tests.accounts.place import HASH, INI, Place

GRANTS = "boss@example.org,News@Remote.Example,*@shop.example,chef@grün.example,*@ßtraße.example"
USERS = f"""joe@example.org:{HASH}::::::userdb_smtpd_may_send_as={GRANTS}
ann@example.org:{HASH}::::::
boss@example.org:{HASH}::::::
joe@other.org:{HASH}::::::
bob@bücher.example:{HASH}::::::userdb_smtpd_may_send_as=*@example.net
"""
ALIASES = """
sales: joe
deep: sales
pair: joe, ann
tagged: joe+x, joe+y
away: joe, x@remote.example
joe+lists: ann
catch@other.org: joe@example.org
"""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    ini = INI + "[basic]\npostmaster = joe@example.org\n"
    return Place(tmp_path_factory.mktemp("place"), USERS, ALIASES, ini).accounts()


@pytest.mark.parametrize(
    ("address", "owned"),
    [
        ("joe@example.org", True),
        ("JOE@EXAMPLE.ORG", True),
        ("joe@example.net", True),
        ("joe+tag@example.org", True),
        ("joe+tag@example.net", True),
        ('"joe"@example.org', True),
        ("joe+lists@example.org", False),
        ("sales@example.org", True),
        ("sales@example.net", True),
        ("sales@other.org", True),
        ("deep@example.org", True),
        ("sales+tag@example.org", True),
        ("tagged@example.org", True),
        ("catch@other.org", True),
        ("pair@example.org", False),
        ("away@example.org", False),
        ("joe@other.org", False),
        ("anybody@other.org", False),
        ("postmaster@example.org", False),
        ("ann@example.org", False),
        ("boss@example.org", True),
        ("boss@example.net", True),
        ("news@remote.example", True),
        ("News@REMOTE.example", True),
        ("news+x@remote.example", False),
        ("anything@shop.example", True),
        ("anything@sub.shop.example", False),
        ("chef@GRÜN.example", True),
        ("chef@xn--grn-ioa.example", True),
        ("chef@XN--GRN-IOA.example", True),
        ("koch@xn--grn-ioa.example", False),
        ("anything@ßtraße.example", True),
        ("anything@xn--trae-unad.example", True),
        ("anything@sstrasse.example", False),
        ("anything@remote.example", False),
        ("", False),
        ("joe", True),
    ],
)
def test_joe_may_send_from(accounts: Accounts, address: str, owned: bool) -> None:
    joe = accounts.account("joe")
    assert joe is not None
    assert accounts.owns(joe, address) is owned


@pytest.mark.parametrize(
    ("address", "owned"),
    [
        ("ann@example.org", True),
        ("joe+lists@example.org", True),
        ("joe@example.org", False),
        ("postmaster@example.org", False),
        ("postmaster@other.org", False),
        ("pair@example.org", False),
        ("nobody@example.org", False),
        ("*@example.org", False),
    ],
)
def test_ann_may_send_from(accounts: Accounts, address: str, owned: bool) -> None:
    ann = accounts.account("ann")
    assert ann is not None
    assert accounts.owns(ann, address) is owned


def test_a_grant_for_a_domain_alias_is_one_for_the_domain(accounts: Accounts) -> None:
    bob = accounts.account("bob@bücher.example")
    assert bob is not None
    assert accounts.owns(bob, "anything@example.org")
    assert accounts.owns(bob, "bob@xn--bcher-kva.example")
    assert not accounts.owns(bob, "joe@other.org")
    assert not accounts.owns(bob, ""), "the null sender is nobody's"


def test_a_session_keeps_no_right_that_was_taken_away(tmp_path: Path) -> None:
    place = Place(tmp_path, USERS, ALIASES)
    accounts = place.accounts()
    joe = accounts.account("joe")
    assert joe is not None
    assert accounts.owns(joe, "anything@shop.example")
    place.users("\n".join(line.partition(":")[0] for line in USERS.split("\n")))
    place.later()
    assert not accounts.owns(joe, "anything@shop.example")
    assert accounts.owns(joe, "joe@example.org")
    place.users(
        "\n".join(line.partition(":")[0] for line in USERS.split("\n") if not line.startswith("joe@example.org"))
    )
    place.later()
    assert not accounts.owns(joe, "joe@example.org")
