"""Names the weakness of a new password: too short, the name of its account, or one of those that everyone tries."""

from itertools import pairwise

from smtpd_classic.smtp.address import split_address

__all__ = ["SHORTEST", "weakness"]

SHORTEST = 8
# The beginnings of the lists that password guessers use; digits and “!” around a word do not make another one of it.
_COMMON = frozenset(
    (  # noqa: SIM905  a list of one word a line is no better to read
        "0987654321 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 abcabc abcd abcdef abcdefg abcdefgh access admin"
        " administrator adobe aaaaaa asdasd asdf asdfasdf asdfgh asdfghjk asdfghjkl azerty azertyuiop bailey baseball"
        " batman change changeit changeme charlie cisco computer daniel default demo diamond donald dragon email"
        " flower football freedom geheim google guest hallo hello hunter iloveyou info internet jennifer jessica"
        " jordan kennwort killer letmein login lovely loveme mail mailserver manager marina master maverick michael"
        " michelle monkey mustang nicole office oracle pa55word pass passw0rd passwd passwort password passphrase"
        " postmaster pokemon princess qazwsx qazwsxedc qwert qwerty qwertyui qwertyuiop qwertz qwertzui qwertzuiop"
        " root samsung sample scanner secret server service shadow soccer startup starwars sunshine superman support"
        " sysadmin system temp temporary test tester testing testtest trustno1 user welcome whatever willkommen winter"
        " sommer summer spring autumn herbst xxxxxx zaq12wsx zxcvbn zxcvbnm"
    ).split()
)


def weakness(password: str, address: str) -> str | None:
    """Return why this password is weak for the account, as one sentence, or None.

    A weak password may be set, but only after a confirmation.
    """
    if len(password) < SHORTEST:
        return f"the password is shorter than {SHORTEST} characters."
    folded = password.casefold()
    word = _core(folded)
    local, domain = split_address(address.casefold())
    names = {
        address.casefold(),
        local,
        domain,
        *local.replace("_", ".").replace("-", ".").split("."),
        *domain.split("."),
    }
    if folded in names or word in {_core(name) for name in names if len(name) > 2} - {""}:
        return "the password is the name of the account or of its domain."
    if word in _COMMON or _core(folded.translate(_LEET)) in _COMMON or folded in _COMMON:
        return "the password is one of those that are tried first."
    if len(set(folded)) <= 2 or _is_row(folded):
        return "the password is a row of equal or successive characters."
    return None


_LEET = str.maketrans("013457@$", "oieastas")


def _core(text: str) -> str:
    """Return the word without the digits and signs around it."""
    return text.strip("0123456789!?.,-_#*+ $%&@")


def _is_row(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    half = text[: len(text) // 2]
    return steps in ({1}, {-1}) or text in {half * 2} or text.rstrip("0") in {"123456789", "12345678"}
