"""The flags of sendmail, as its callers have always written them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.submission.flags import BadFlags, Flags, parse

CRON = ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"]
IGNORED = (
    "-odb -oee -om -o7 -o8 -oA/etc/aliases -O QueueDirectory=/tmp -Ltag -h 5 -n -m -U -X /tmp/log -Ac -G -e m -em -p x"
)

UNDERSTOOD: dict[str, tuple[list[str], Flags]] = {
    "nothing": ([], Flags()),
    "cron": (CRON, Flags(name="CronDaemon", dot_ends=False, recipients_in_header=True, sender="root")),
    "PHP": (["-t", "-i"], Flags(recipients_in_header=True, dot_ends=False)),
    "PHP with a sender": (
        ["-t", "-i", "-fweb@example.org"],
        Flags(recipients_in_header=True, dot_ends=False, sender="web@example.org"),
    ),
    "mail(1)": (["-i", "-m", "joe", "ann"], Flags(dot_ends=False, words=("joe", "ann"))),
    "mutt": (
        ["-oem", "-oi", "-f", "a@b.example", "--", "joe"],
        Flags(dot_ends=False, sender="a@b.example", words=("joe",)),
    ),
    "git": (["-i", "-f", "a@b.example", "joe"], Flags(dot_ends=False, sender="a@b.example", words=("joe",))),
    "flags in one word": (["-tiv"], Flags(recipients_in_header=True, dot_ends=False, verbose=True)),
    "a value behind other flags": (["-tifroot"], Flags(recipients_in_header=True, dot_ends=False, sender="root")),
    "-ot and -oi": (["-ot", "-oi"], Flags(recipients_in_header=True, dot_ends=False)),
    "-o and its value apart": (["-o", "i"], Flags(dot_ends=False)),
    "-r is -f": (["-r", "joe"], Flags(sender="joe")),
    "the null sender": (["-f", ""], Flags(sender="")),
    "notices": (
        ["-N", "failure,delay", "-R", "hdrs", "-V", "a b+c"],
        Flags(notify="FAILURE,DELAY", ret="HDRS", envid="a+20b+2Bc"),
    ),
    "the longest identification": (["-V", "x" * 100], Flags(envid="x" * 100)),
    "never a notice": (["-Nnever"], Flags(notify="NEVER")),
    "8-bit": (["-B8BITMIME", "joe"], Flags(words=("joe",))),
    "what is ignored": (
        [*IGNORED.split(), "joe"],
        Flags(words=("joe",)),
    ),
    "what stands behind a recipient is no flag": (["joe", "-t"], Flags(words=("joe", "-t"))),
    "a dash is no flag": (["-", "joe"], Flags(words=("-", "joe"))),
    "the configuration": (["-C", "/tmp/x.conf", "-bp"], Flags(mode="p", config="/tmp/x.conf")),
    "send": (["-bm", "joe"], Flags(words=("joe",))),
    "SMTP": (["-bs"], Flags(mode="s")),
    "the queue": (["-bp"], Flags(mode="p")),
    "the aliases": (["-bi"], Flags(mode="i")),
    "the aliases, shorter": (["-I"], Flags(mode="i")),
    "flush": (["-q"], Flags(mode="q")),
    "flush every half hour": (["-q30m"], Flags(mode="q")),
    "flush one": (["-qIABC"], Flags(mode="q", which="IABC")),
    "flush by recipient": (["-qRexample.org"], Flags(mode="q", which="Rexample.org")),
    "flush by sender": (["-qSjoe"], Flags(mode="q", which="Sjoe")),
}


@pytest.mark.parametrize(("words", "flags"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_flags_that_are_understood(words: list[str], flags: Flags) -> None:
    assert parse(words) == flags


WRONG = {
    "an unknown flag": ["-Z"],
    "an unknown flag among others": ["-tZ"],
    "a long option": ["--help"],
    "no value": ["-f"],
    "an unknown mode": ["-bz"],
    "a mode that starts a server": ["-bd"],
    "verification": ["-bv", "joe"],
    "an unknown notice": ["-N", "sometimes"],
    "never and something": ["-N", "never,failure"],
    "a notice twice": ["-N", "failure,failure"],
    "an unknown part of the message": ["-R", "half"],
    "an identification that does not print": ["-V", "a\nb"],
    "an identification that is too long": ["-V", "x" * 101],
    "an empty identification": ["-V", ""],
    "an unknown body": ["-B", "BINARYMIME"],
    "a selection of nothing": ["-qI"],
    "an unknown selection": ["-qX"],
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_flags_that_are_refused(words: list[str]) -> None:
    with pytest.raises(BadFlags) as told:
        parse(words)
    assert str(told.value).isprintable()


def test_who_wants_a_server_is_told_how_to_start_it() -> None:
    with pytest.raises(BadFlags, match="service smtpd-classic start"):
        parse(["-bd", "-q30m"])


@pytest.mark.parametrize("mode", ["p", "i"])
def test_the_name_of_the_program_chooses_the_mode(mode: str) -> None:
    assert parse(["-v"], mode=mode) == Flags(mode=mode, verbose=True)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(CRON), max_size=6))
def test_any_words_are_understood_or_refused(words: list[str]) -> None:
    try:
        flags = parse(words)
    except BadFlags:
        return
    assert list(flags.words) == words[len(words) - len(flags.words) :]
