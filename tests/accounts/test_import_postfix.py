"""The configuration of a Postfix: its parameters and tables in the terms of this server."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from smtpd_classic.accounts import list_aliases
from smtpd_classic.commands.postfix_files import (
    PostfixConfig,
    TableUnreadable,
    parse_parameters,
    parse_table,
    read_table,
)
from smtpd_classic.commands.postfix_translation import Translation, translate
from tests.accounts.test_commands import Shell, shell
from tests.tools import need

__all__ = ["shell"]  # a fixture
PARENTS = "debug_peer_list,relay_domains"


def translated(tables: Mapping[str, str] | None = None, **parameters: str) -> Translation:
    def read(name: str) -> str:
        if name not in (tables or {}):
            raise TableUnreadable("it cannot be read")
        return (tables or {})[name]

    defaults = {"myorigin": "example.org", "parent_domain_matches_subdomains": PARENTS}
    return translate(PostfixConfig(parameters, defaults, read), "example.org")


def options(found: Translation) -> dict[str, str]:
    return {f"{each.title}/{each.option}": each.value for each in found.settings}


def test_parameters_are_read_as_postconf_prints_them() -> None:
    assert parse_parameters("relayhost =\nmynetworks = a = b, c\n") == {"relayhost": "", "mynetworks": "a = b, c"}


def test_a_table_has_comments_and_lines_that_go_on() -> None:
    text = '# a\nA@b.example  c,\n\n  # inside\n\td\n"x y"@b.example e\nlonely\n'
    rows = [("a@b.example", "c, d"), ('"x y"@b.example', "e"), ("lonely", "")]
    assert list(parse_table(text)) == rows


def test_the_domains_of_mydestination_are_one_domain_with_other_names() -> None:
    found = translated(mydestination="mail.example.org, example.org, localhost.example.org, localhost")
    assert options(found) == {"domain example.org/": "", "domain example.org/aliases": "mail.example.org"}
    assert found.left == []


def test_virtual_domains_are_domains_of_their_own() -> None:
    tables = {"hash:/d": "shop.example anything\n"}
    found = translated(tables, virtual_mailbox_domains="hash:/d", virtual_alias_domains="list.example")
    assert options(found) == {"domain shop.example/": "", "domain list.example/": ""}


def test_virtual_aliases_are_aliases_catch_alls_and_domains() -> None:
    text = "v.example x\na@v.example joe, b@away.example\n@v.example joe@example.org\n@two.example a, b\njoe joe\n"
    found = translated({"hash:/v": text}, virtual_alias_maps="hash:/v", mydestination="example.org")
    assert options(found) == {"domain example.org/": "", "domain v.example/": ""}
    assert found.aliases == {"a@v.example": ("joe@example.org", "b@away.example")}
    assert [(each.title, each.value) for each in found.catch_alls] == [("domain v.example", "joe@example.org")]
    assert "@two.example" in found.left[0]


def test_a_catch_all_to_another_domain_is_another_name_of_it() -> None:
    text = "@v.example @example.org\n"
    found = translated({"hash:/v": text}, virtual_alias_maps="hash:/v", virtual_alias_domains="v.example")
    assert options(found) == {"domain example.org/aliases": "v.example"}


def test_aliases_lead_to_the_main_domain_and_never_to_programs() -> None:
    text = 'root: joe\nrun: "|/bin/run"\nall: :include:/etc/all\nout: bob@away.example\n'
    found = translated({"hash:/a": text}, alias_maps="hash:/a", mydestination="example.org")
    assert found.aliases == {"root@example.org": ("joe@example.org",), "out@example.org": ("bob@away.example",)}
    assert [sentence.split(": ")[1] for sentence in found.left] == ["hash:/a:2", "hash:/a:3"]


def test_networks_are_trusted() -> None:
    found = translated(mynetworks="127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128, 192.0.2.0/24")
    assert options(found) == {"trusted/hosts": "127.0.0.0/8\n::1/128\n192.0.2.0/24"}


@pytest.mark.parametrize("odd", ["!192.0.2.9", "hash:/networks", "/etc/networks"])
def test_no_network_is_trusted_beside_an_exception(odd: str) -> None:
    found = translated(mynetworks=f"192.0.2.0/24, {odd}")
    assert options(found) == {}
    assert odd in found.left[0]


def test_the_relay_comes_with_its_login() -> None:
    found = translated(
        {"hash:/p": "[smtp.example.net]:587 joe:pass:word\n"},
        relayhost="[smtp.example.net]:submission",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_password_maps="hash:/p",
        smtp_tls_security_level="encrypt",
    )
    assert "relay_user" in found.left[0]  # Postfix looks the name up as it is written
    found = translated(
        {"hash:/p": "[smtp.example.net]:587 joe:pass:word\n"},
        relayhost="[smtp.example.net]:587",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_password_maps="hash:/p",
        smtp_tls_security_level="encrypt",
    )
    assert found.left == []
    assert options(found) == {
        "remote/relay_hosts": "smtp.example.net:587",
        "remote/relay_always": "yes",
        "remote/relay_ssl": "yes",
        "remote/relay_user": "joe",
        "remote/relay_password": "pass:word",
        "remote/relay_auth": "yes",
    }


@pytest.mark.parametrize("place", ["static:joe:pass-word", "inline:{[smtp.example.net]=joe:pass-word}"])
def test_a_password_is_never_printed(place: str) -> None:
    parameters = {"ldap_bind_pw": "pass-word", "mysql_password": "pass-word", "smtp_sasl_password_maps": place}
    defaults = {"parent_domain_matches_subdomains": PARENTS}
    written = {"relayhost": "[smtp.example.net]", "smtp_sasl_auth_enable": "yes", **parameters}
    found = translate(PostfixConfig(written, defaults, read_table), "example.org")
    assert {sentence.split(":")[0] for sentence in found.left} == set(parameters)
    assert "pass-word" not in "\n".join(found.left)


def test_a_table_that_cannot_be_read_here_is_named() -> None:
    with pytest.raises(TableUnreadable, match=r"of the type ldap \(/etc/postfix/ldap\.cf\) cannot"):
        read_table("proxy:ldap:/etc/postfix/ldap.cf")


def test_required_tls_without_a_relay_is_named() -> None:
    assert "encrypt" in translated(smtp_tls_security_level="encrypt").left[0]
    assert options(translated(smtp_tls_security_level="none")) == {"remote/opportunistic_tls": "no"}


def test_transports_are_direct_domains() -> None:
    text = (
        "a.example smtp:[192.0.2.5]:2525\n.a.example relay:[IPv6:2001:db8::5]:26\nb.example smtp:\n"
        "c.example error:gone\njoe@d.example smtp:[x.example]\nexample.org lmtp:unix:private/lmtp\n* :[out.example]\n"
        "e.example smtp:mx.e.example\n"
    )
    found = translated({"hash:/t": text}, transport_maps="hash:/t", relay_domains="a.example, f.example")
    assert options(found) == {
        "direct a.example/hosts": "192.0.2.5:2525",
        "direct .a.example/hosts": "[2001:db8::5]:26",
        "remote/relay_hosts": "out.example",
        "remote/relay_always": "yes",
        "direct e.example/hosts": "mx.e.example",
        "direct a.example/open": "yes",
        "direct .a.example/open": "yes",
        "open-relay/domains": ".f.example",
    }
    assert [each.value for each in found.settings if each.title == "open-relay"] == ["f.example", ".f.example"]
    assert [sentence.split()[1] for sentence in found.left] == [
        "c.example",
        "joe@d.example",
        "example.org",
        "mx.e.example:",
    ]


def test_each_other_parameter_is_named() -> None:
    found = translated(biff="no", smtpd_milters="inet:127.0.0.1:11332", virtual_mailbox_maps="hash:/m")
    assert [sentence.split(":")[0] for sentence in found.left] == ["smtpd_milters", "virtual_mailbox_maps"]
    assert "import accounts" in found.left[1]


MAIN = """compatibility_level = 3.6
myhostname = mail.example.org
mydomain = example.org
myorigin = $mydomain
mydestination = $myhostname, $mydomain, localhost
mynetworks = 127.0.0.0/8 192.168.7.0/24
relayhost = [smtp.example.net]:submission
alias_maps = texthash:$config_directory/aliases
virtual_alias_maps = texthash:$config_directory/virtual
transport_maps = texthash:$config_directory/transport
relay_domains = gate.example.net
message_size_limit = 20480000
smtpd_banner = $myhostname ESMTP
"""


@pytest.fixture
def postfix(tmp_path: Path) -> Path:
    need("postconf")
    folder = tmp_path / "postfix"
    folder.mkdir()
    (folder / "main.cf").write_text(MAIN)
    (folder / "master.cf").write_text("")
    (folder / "aliases").write_text('root: joe\nnew: root\nteam: ann\nrun: "|/bin/run"\n')
    (folder / "virtual").write_text("s.example x\na@s.example joe\nb@s.example nobody\n@s.example a@s.example\n")
    (folder / "transport").write_text("gate.example.net smtp:[192.0.2.5]:2525\n")
    return folder


def test_the_configuration_of_a_real_postfix_is_taken_over(shell: Shell, postfix: Path) -> None:
    done = shell(f"import postfix {postfix}")
    assert done.code == 0, done.err
    config = shell.place.config
    assert {"example.net", "mail.example.org"} < {*config.domains[0].aliases}  # example.net was there before
    assert next(each for each in config.domains if each.name == "s.example").catch_all == "a@s.example"
    assert [str(each) for each in config.trusted.hosts] == ["127.0.0.0/8", "192.168.7.0/24"]
    assert [(each.name, each.port) for each in config.remote.relay_hosts] == [("smtp.example.net", 587)]
    assert [(each.name, each.open) for each in config.direct_domains] == [("gate.example.net", True)]
    assert config.open_relay.domains == (".gate.example.net",)
    assert (config.helo_name, config.basic.max_message_size) == ("mail.example.org", 20480000)
    aliases = dict(list_aliases(config))
    assert aliases["new@example.org"] == ("root@example.org",)
    assert aliases["a@s.example"] == ("joe@example.org",)
    assert "b@s.example" not in aliases
    for said in ("runs a program", "nobody@example.org", "smtpd_banner: mail.example.org ESMTP: not taken over"):
        assert said in done.err


def test_a_second_import_changes_nothing_and_one_can_go_back(shell: Shell, postfix: Path) -> None:
    (postfix / "virtual").write_text("s.example x\na@s.example joe\n")
    before = shell.place.aliases_file.read_bytes()
    shell(f"import postfix {postfix}")
    once = shell.place.file.read_bytes(), shell.place.aliases_file.read_bytes()
    assert shell(f"import postfix {postfix}").code == 0
    assert (shell.place.file.read_bytes(), shell.place.aliases_file.read_bytes()) == once
    assert shell("alias undo").code == 0
    assert shell.place.aliases_file.read_bytes() == before


def test_an_option_that_is_set_stays(shell: Shell, postfix: Path) -> None:
    assert shell("config set basic helo_name mx.example.org").code == 0
    assert "it is mx.example.org already" in shell(f"import postfix {postfix}").err
    assert shell.place.config.helo_name == "mx.example.org"


def test_another_relay_stays_and_gets_no_login(shell: Shell, postfix: Path) -> None:
    assert shell("config set remote relay_hosts mine.example").code == 0
    (postfix / "passwords").write_text("[smtp.example.net]:submission joe:secret\n")
    login = "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:$config_directory/passwords\n"
    (postfix / "main.cf").write_text(MAIN + login)
    done = shell(f"import postfix {postfix}")
    assert "relayhost: smtp.example.net:587: not taken over; [remote] relay_hosts is mine.example already." in done.err
    remote = shell.place.config.remote
    assert [each.name for each in remote.relay_hosts] == ["mine.example"]
    assert (remote.relay_always, remote.relay_user, remote.relay_password) == (False, "", "")


def test_an_open_relay_is_not_taken_over(shell: Shell, postfix: Path) -> None:
    shell.place.file.write_text(shell.place.file.read_text().replace("address = 127.0.0.1\n", ""))
    (postfix / "main.cf").write_text(MAIN.replace("192.168.7.0/24", "0.0.0.0/0"))
    done = shell(f"import postfix {postfix}")
    assert "mynetworks: hosts in [trusted]: " in done.err
    assert shell.place.config.trusted.hosts == ()
    assert shell.place.config.helo_name == "mail.example.org"


@pytest.mark.parametrize("networks", ["192.0.2.0/24", "0.0.0.0/0"])
def test_a_name_that_is_no_domain_is_named(shell: Shell, postfix: Path, networks: str) -> None:
    """The second network is refused, so that each setting is tried alone."""
    shell.place.file.write_text(shell.place.file.read_text().replace("address = 127.0.0.1\n", ""))
    (postfix / "main.cf").write_text(MAIN.replace("192.168.7.0/24", networks))
    (postfix / "transport").write_text("a]b smtp:[192.0.2.5]\nc.example :[192.0.2.7]\n")
    done = shell(f"import postfix {postfix}")
    assert "transport_maps: hosts in [direct a]b]: “a]b” is not a domain name" in done.err
    assert done.code == 0
    assert "c.example" in {each.name for each in shell.place.config.direct_domains}
    assert bool(shell.place.config.trusted.hosts) == (networks != "0.0.0.0/0")


def test_a_folder_without_postfix_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    need("postconf")
    before = shell.place.file.read_bytes()
    done = shell(f"import postfix {tmp_path}")
    assert done.code == os.EX_NOINPUT
    assert "main.cf" in done.err
    assert shell.place.file.read_bytes() == before
