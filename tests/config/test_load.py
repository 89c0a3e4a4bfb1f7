"""Reading a file: what is taken, and one sentence with file and line for everything that is not."""

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.config import Config, ConfigProblems, check, examine, load, open_relay_reasons, parse
from smtpd_classic.config.sample import sample
from tests.config.texts import COMMENTED, SOUND, sound

PATH = "/etc/smtpd-classic/smtpd-classic.conf"


def problems_of(text: str) -> list[str]:
    """What is wrong with a text, `line: sentence` each; empty when it is read."""
    try:
        parse(text, PATH)
    except ConfigProblems as found:
        return [f"{problem.line}: {problem.text}" for problem in found.problems]
    return []


# Each text has one wrong line. It must be told by its number, in one sentence.
BAD_LINES = {
    "section mistyped": (sound("[servr]"), 7, "[servr] is no section. Did you mean [server]?"),
    "section with underscore": (sound("[open_relay]\ndomains = .org"), 7, "Did you mean [open-relay]?"),
    "section in capitals": (sound("[Basic]\nmax_hops = 5"), 7, "Did you mean [basic]?"),
    "section of another server": (sound("[postfix]"), 7, "[postfix] is no section. Known are server, listener"),
    "section with a name it cannot have": (sound("[basic office]"), 7, "[basic] takes no name behind it."),
    "row without a name": (sound("[listener]\nport = 1"), 7, "needs a name behind it, as in [listener smtp]."),
    "row with a bad name": (sound("[listener a:b]\nport = 1"), 7, "[listener NAME]: “a:b” is not a name"),
    "direct domain that is all": (sound("[direct *]\nhosts = a.b"), 7, "“*” would match every domain"),
    "section twice": (sound("[trusted]\n[trusted]"), 8, "a second time; the first is on line 7."),
    "row twice": (sound("[domain a.b]\n[domain  A.B.]"), 8, "a second time; the first is on line 7."),
    "section not closed": (sound("[basic"), 7, "the section is not closed"),
    "comment behind a section": (sound("[basic] # limits"), 7, "something stands behind its “]”"),
    "section without a word": (sound("[ ]"), 7, "the section has no name between its brackets."),
    "option before any section": ("max_hops = 5\n" + SOUND, 1, "options stand in a section"),
    "option mistyped": (sound("[basic]\nmax_hop = 5"), 8, "“max_hop” is no option of [basic]."),
    "option in capitals": (sound("[basic]\nMax_Hops = 5"), 8, "Did you mean “max_hops”?"),
    "option with dashes": (sound("[basic]\nmax-hops = 5"), 8, "Did you mean “max_hops”?"),
    "option of another section": (sound("[basic]\nrelay_hosts = a.b"), 8, "It belongs into [remote]."),
    "option unknown": (sound("[trusted]\nmyorigin = a.b"), 8, "“myorigin” is no option of [trusted]; known are hosts."),
    "option of another server": (sound("[direct]\nmyorigin = x"), 8, "known are fall_back_to_remote."),
    "option unknown among secrets": (sound("[remote]\nmyorigin = x"), 8, "this is no option of [remote];"),
    "option twice": (sound("[basic]\nmax_hops = 5\n\nmax_hops = 6"), 10, "a second time; the first is on line 8."),
    "no equals sign": (sound("[basic]\nmax_hops 5"), 8, "Did you mean “max_hops = …”?"),
    "colon instead": (sound("[basic]\nmax_hops: 5"), 8, "Did you mean “max_hops = …”?"),
    "something else": (sound("[basic]\n<Directory />"), 8, "the line is neither a [section] nor option = value."),
    "nothing before the equals sign": (sound("[basic]\n= 5"), 8, "the text before the “=”"),
    "indented option": (sound("[basic]\n  max_hops = 5"), 8, "write it at the left edge."),
    "indented section": (sound("  [basic]"), 7, "a section begins at the left edge"),
    "indented first line": ("  [server]\n" + SOUND.removeprefix("[server]\n"), 1, "a section begins at the left edge"),
    "value of two lines": (sound("[basic]\nmax_hops = 5\n  6"), 9, "went on with max_hops, which takes one value."),
    "no value": (sound("[basic]\nmax_hops ="), 8, "max_hops has no value; meant is: number"),
    "list that must not be empty": (sound("[direct a.b]\nhosts ="), 8, "hosts has no value; meant is: list of hosts"),
    "not a number": (sound("[basic]\nmax_hops = many"), 8, "max_hops: “many” is not a whole number"),
    "number too big": (sound("[basic]\nmax_hops = 1001"), 8, "max_hops: 1001 is not between 1 and 1000."),
    "comment behind a value": (sound("[basic]\nmax_hops = 5 # hops"), 8, "“5 # hops” is not a whole number"),
    "duration without a unit": (sound("[basic]\nretry_interval = 15"), 8, "retry_interval: “15” is not a duration"),
    "size with a strange unit": (sound("[basic]\nmax_message_size = 25 MO"), 8, "“25 MO” is not a size"),
    "switch mistyped": (sound("[basic]\nclose_open_relay = yess"), 8, "“yess” is neither yes nor no."),
    "word that is no choice": (sound("[listener a]\nport = 1\ntls = ssl"), 9, "“ssl” is none of none, starttls"),
    "port out of range": (sound("[listener a]\nport = 70000"), 8, "port: 70000 is not between 1 and 65535."),
    "one item of a list": (sound("[trusted]\nhosts =\n  10.0.0.0/8\n  10.0.0.1/8"), 10, "perhaps 10.0.0.0/8 is meant."),
    "item on the option's own line": (sound("[trusted]\nhosts = 10.0.0.0/8, office"), 8, "hosts: “office” is no IP"),
    "option inside a list": (sound("[trusted]\nhosts = 10.0.0.1\n  close_open_relay = no"), 9, "is no IP address"),
    "host with half a login": (sound("[direct a.b]\nhosts = c.d user=joe"), 8, "has a user or a password but"),
    "catch-all that is no address": (sound("[domain a.b]\ncatch_all = joe"), 8, "“joe” is not an address"),
    "missing option": (sound("[listener a]\ntls = none"), 7, "[listener a] needs the option port."),
    "missing option, and none in its place": (sound("[listener lmtp]"), 7, "[listener lmtp] needs the option port."),
    "missing option of a replacement": (sound("[replace a@b.c]"), 7, "[replace a@b.c] needs the option addresses."),
    "missing section": ("[listener a]\nport = 25\n", 0, "the section [server] is missing; it needs primary_domain."),
    "empty file": ("", 0, "the section [server] is missing"),
    "control character": (sound("[basic]\nhelo_name = a\x1b.b"), 8, "the control character U+001B is not allowed."),
    "NUL": (sound("[remote]\nrelay_user = a\0b"), 8, "the control character U+0000 is not allowed."),
    "control character in a section": (sound("[ba\x01sic]\nmax_hop = 5"), 7, "U+0001 is not allowed."),
    "control character in an item": (sound("[trusted]\nhosts =\n 10.\n \x0b"), 10, "U+000B is not allowed."),
    "control character before items": (sound("[trusted]\nhosts = \x0b\n 10."), 8, "U+000B is not allowed."),
    "control character above all": ("\x0b\n" + SOUND, 1, "U+000B is not allowed."),
    "carriage return alone": (sound("[basic]\nmax_hops = 5\rmax_rset = 6"), 8, "the control character U+000D"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_wrong_line_gives_one_sentence_with_its_number(name: str) -> None:
    text, line, sentence = BAD_LINES[name]
    found = problems_of(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{line}: ")
    assert sentence in found[0]
    assert found[0][-1] in ".?"


def test_all_problems_of_a_file_are_told_at_once_in_order() -> None:
    text = "junk = 1\n[server]\nprimary_domain = x y\n[listener]\nport = 25\n[basic]\nmax_hop = 1\nmax_rset = x\n  y\n"
    assert [int(found.partition(":")[0]) for found in problems_of(text)] == [1, 3, 4, 7, 9]


def test_mistyped_required_option_is_not_missing_too() -> None:
    assert len(problems_of("[server]\nprimary_domian = example.org\n")) == 1
    assert len(problems_of("[server]\nprimary_domain example.org\n")) == 1
    assert len(problems_of("[server\nprimary_domain = example.org\n")) == 1
    assert len(problems_of("[srever]\nprimary_domain = example.org\n")) == 1


def test_option_of_a_rejected_section_is_no_second_problem() -> None:
    assert len(problems_of(sound("[basic\nmax_hop = 1\n  x\nmax_hop = 1"))) == 1
    assert len(problems_of(sound("[nothing]\nmax_hop = 1"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        sound("[remote]\nrelay_pasword = geheim"),
        sound("[remote]\nrelay_password geheim"),
        sound("[remote]\nrelay_password = geheim\n  geheim"),
        sound("[remote]\nrelay_password = geheim\nrelay_password = geheim"),
        sound("[remote]\nrelay_password = a\x07geheim"),
        sound("[remote]\nrelay_password =\ngeheim"),
        sound("[remote]\nrelay_password = x\ngeheim geheim = geheim"),
        sound("[remote]\nrelay_password = x\ngeheim=="),
        sound("[direct a.b]\nhosts = c.d user=joe password=a geheim"),
        sound("[direct a.b]\nhosts = c.d user=joe password='geheim"),
        sound("[direct a.b]\nhosts = c.d user=joe pasword=geheim"),
        sound("[direct a.b]\nhosts = c.d password=geheim"),
        sound("[direct a.b]\nhost = c.d user=joe password=geheim"),
        sound("[direct a.b]\nhosts = user=joe password=geheim c.d"),
        sound("relay_password = geheim"),
        sound("[nothing]\nrelay_password = geheim"),
    ],
)
def test_no_sentence_holds_a_secret(text: str) -> None:
    found = problems_of(text)
    assert found
    assert not any("geheim" in problem for problem in found)


def test_config_holds_no_secret_in_its_repr() -> None:
    config = parse(sound("[remote]\nrelay_password = geheim\n[direct a.b]\nhosts = c.d user=joe password=geheim"), PATH)
    assert config.remote.relay_password == config.direct_domains[0].hosts[0].password == "geheim"
    assert "geheim" not in repr(config)


def test_values_are_literal() -> None:
    text = sound('[remote]\nrelay_password = %(a)s;b#c ${d} "e" = \' \nrelay_user=#x\n')
    assert parse(text, PATH).remote.relay_password == '%(a)s;b#c ${d} "e" = \''
    assert parse(text, PATH).remote.relay_user == "#x"


def test_comments_may_stand_anywhere_on_lines_of_their_own() -> None:
    config = parse(COMMENTED, PATH)
    assert [str(network) for network in config.trusted.hosts] == [
        "10.0.0.0/8",
        "192.0.2.7/32",
        "192.0.2.8/32",
        "192.0.2.9/32",
    ]
    assert config.remote.relay_password == "geheim # literal; all of it"


def test_a_required_option_may_have_another_in_its_place() -> None:
    listener = parse(sound("[listener lmtp]\nsocket = /run/lmtp"), PATH).listeners[-1]
    assert (listener.socket, listener.port, listener.address, listener.tls) == ("/run/lmtp", 0, (), "none")


def test_tables_keep_the_order_of_the_file() -> None:
    text = sound("[direct b.example]\nhosts = x.example\n[direct]\n[direct a.example]\nhosts = y.example")
    assert [row.name for row in parse(text, PATH).direct_domains] == ["b.example", "a.example"]


def test_relative_names_are_beside_the_file() -> None:
    text = sound("").replace("[listener", "users_file = ../mail//users\nspool_folder = /var/spool\n\n[listener", 1)
    server = parse(text, "/etc/smtpd-classic/test.conf").server
    assert (server.users_file, server.aliases_file) == ("/etc/mail/users", "/etc/smtpd-classic/aliases")
    assert (server.spool_folder, server.private_key) == ("/var/spool", "/etc/smtpd-classic/tls/key.pem")


def test_an_option_that_is_here_twice_is_not_taken_for_a_mistyped_one() -> None:
    with pytest.raises(ConfigProblems) as told:
        parse(sound("[basic]\nmax_hops = 5\nmax_hops = 6"), PATH)
    assert str(told.value).endswith(": max_hops is here a second time; the first is on line 8.")


def test_defaults_are_filled_in() -> None:
    config = parse(SOUND, PATH)
    assert (config.helo_name, config.postmaster) == ("example.org", "postmaster@example.org")
    assert config.basic.close_open_relay
    text = sound("[basic]\nhelo_name = mail.example.org\npostmaster = joe@example.org")
    assert (parse(text, PATH).helo_name, parse(text, PATH).postmaster) == ("mail.example.org", "joe@example.org")


def test_the_name_of_the_host_is_ascii_in_smtp() -> None:
    text = sound("").replace("primary_domain = example.org", "primary_domain = Bücher.example")
    config = parse(text, PATH)
    assert (config.helo_name, config.postmaster) == ("xn--bcher-kva.example", "postmaster@xn--bcher-kva.example")
    assert parse(sound("[basic]\nhelo_name = faß.example"), PATH).helo_name == "xn--fa-hia.example"


def test_config_knows_the_lines_it_came_from() -> None:
    config = parse(sound("[direct Example.NET]\nhosts = a.b"), PATH)
    assert config.line("direct example.net", "hosts") == 8
    assert config.line("direct example.net", "open") == 7
    assert config.line("basic", "max_hops") == 0


@pytest.mark.parametrize(
    ("data", "domain"),
    [
        (SOUND.replace("\n", "\r\n").encode(), "example.org"),
        (b"\xef\xbb\xbf" + SOUND.encode(), "example.org"),
        (SOUND.replace("example.org", "müller.example").encode(), "müller.example"),
    ],
    ids=["CRLF", "byte order mark", "UTF-8"],
)
def test_file_of_another_editor_is_read(tmp_path: Path, data: bytes, domain: str) -> None:
    file = tmp_path / "x.conf"
    file.write_bytes(data)
    assert load(file).server.primary_domain == domain


def test_text_may_begin_with_a_byte_order_mark() -> None:
    assert parse("\ufeff" + SOUND, PATH).server.primary_domain == "example.org"


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text(SOUND)
    first = load(str(file)).digest
    assert first == parse(SOUND, PATH).digest
    file.write_text(SOUND + "\n")
    assert load(file).digest != first
    assert load(file).path == str(file)


def problem_of_file(file: Path) -> str:
    with pytest.raises(ConfigProblems) as found:
        load(file)
    return str(found.value)


def test_file_that_is_not_utf8_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_bytes(SOUND.encode() + b"# caf\xe9\n")
    assert problem_of_file(file) == f"{file}:6: the byte 0xe9 is not UTF-8, in which the file must be written."


def test_missing_file_and_folder_are_told(tmp_path: Path) -> None:
    assert problem_of_file(tmp_path / "x.conf") == f"{tmp_path}/x.conf: cannot be read: No such file or directory."
    assert problem_of_file(tmp_path) == f"{tmp_path}: cannot be read: Is a directory."


def test_file_with_a_password_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text(sound("[direct a.b]\nhosts = c.d user=joe password=geheim"))
    file.chmod(0o644)
    assert (
        problem_of_file(file) == f"{file}: the file holds a password and every user may read it; chmod o-rwx ends that."
    )
    file.chmod(0o640)
    assert load(file)
    file.write_text(SOUND)
    file.chmod(0o644)
    assert load(file)


def test_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text(SOUND)
    file.chmod(0o602)
    assert "every user may write to the file" in problem_of_file(file)


def test_file_with_an_error_across_options_is_not_loaded_but_examined(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text(sound("[basic]\nclose_open_relay = no\nmax_recipients = 5"))
    assert problem_of_file(file).startswith(f"{file}:8: close_open_relay is off")
    config, problems = examine(file)
    assert config is not None
    assert [(problem.line, problem.severity) for problem in problems] == [(8, "error"), (9, "warning")]
    assert str(problems[1]).startswith(f"{file}:9: warning: ")
    assert examine(tmp_path / "none")[0] is None


# Characters by which a finger misses.
SLIPS = " .,/#;=01*-\n"
CLOSED = """\
[server]
primary_domain = example.org
[listener smtp]
port = 25
proxy_protocol = 10.9.0.0/24
[basic]
close_open_relay = on
open_relay_confirmed = off
[trusted]
hosts = 10.0.0.0/8, 192.168., 2001:db8::/32
    172.16.0.0/12
[open-relay]
domains = example.net, .example.net
[direct example.com]
hosts = mail.example.com
open = yes
"""


def typos(text: str) -> list[str]:
    """Every text that one slip makes: a character left out, doubled, swapped with the next, or another instead."""
    found = []
    for place in range(len(text)):
        before, char, after = text[:place], text[place], text[place + 1 :]
        found += [before + after, before + char + char + after, before + after[:1] + char + after[1:]]
        found += [before + slip + after for slip in SLIPS] + [before + slip + char + after for slip in SLIPS]
    return found


def may_be_served(text: str) -> Config | None:
    try:
        config = parse(text, PATH)
    except ConfigProblems:
        return None
    return None if any(problem.is_error for problem in check(config)) else config


def test_relay_is_never_opened_by_a_typo() -> None:
    assert may_be_served(CLOSED)
    texts = sorted(set(typos(CLOSED)))
    served = [config for config in map(may_be_served, texts) if config]
    assert len(served) > len(texts) // 20  # the test looks at more than refusals
    for config in served:
        assert not open_relay_reasons(config)
        assert config.basic.close_open_relay


WITH_SECRETS = """\
[server]
primary_domain = example.org
[listener smtp]
port = 25
[remote]
relay_user = joe
relay_password = vwxyz vwxyz=vwxyz
[direct a.example]
hosts =
  b.example ssl user=joe password=vwxyz
  c.example user="j k" password='vw xyz vwxyz'
"""


def test_no_typo_makes_a_sentence_hold_a_secret() -> None:
    assert problems_of(WITH_SECRETS) == []
    found = [problem for text in sorted(set(typos(WITH_SECRETS))) for problem in problems_of(text)]
    assert len(found) > 1000
    assert [problem for problem in found if "wxy" in problem] == []


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *COMMENTED.split("\n"),
                *sample().split("\n")[:40],
                "[direct]",
                "[listener]",
                "[replace a@b.example]",
                "addresses = c@d.example",
                "  x",
                "\t",
                "\r",
                "=",
                "[",
                "]",
                "[]",
            ]
        ),
        st.text(max_size=12),
    ),
    max_size=14,
).map("\n".join)


@given(text=LINES)
@settings(max_examples=600, deadline=None)
def test_any_text_is_read_or_refused_with_sentences(text: str) -> None:
    for problem in problems_of(text):
        assert re.fullmatch(r"\d+: .*[.?]", problem, re.DOTALL)


def test_problems_are_one_a_line_at_most_where_lines_are_taken_out() -> None:
    rows = sample().split("\n")
    shuffle = random.Random(5)
    for _ in range(100):
        text = "\n".join(row for row in rows if shuffle.random() > 0.05)
        lines = [found.partition(":")[0] for found in problems_of(text)]
        assert len(lines) == len(set(lines))


def test_normal_file_is_read_within_20_ms() -> None:
    text = sample() + "".join(f"\n[direct d{number}.example]\nhosts = mail.d{number}.example\n" for number in range(50))
    best = 1.0
    for _ in range(25):
        start = time.thread_time()
        check(parse(text, PATH))
        best = min(best, time.thread_time() - start)
    assert best < 0.02
