"""Write the sample file and the manual page from the declarations: `python -m smtpd_classic.config.manual`."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.sample import sample
from smtpd_classic.config.schema import SECTIONS

__all__ = ["EXAMPLES", "generated", "main", "manual"]

_DATE = "November 22, 2026"

_DESCRIPTION = """\
.Nm
configures
.Xr smtpd-classic 8 .
It is a text file in UTF-8.
The screens of
.Xr smtpd-classic-tui 8
edit this same file, and keep its comments and its order.
.Ss File format
.Bl -tag -width Ds
.It Li \\&[ Ns Ar section Ns Li \\&]
begins a section.
.It Li \\&[ Ns Ar section name Ns Li \\&]
begins a section of which there may be many, each with a name of its own.
Their order in the file is their priority.
.It Ar option Li = Ar value
sets an option of the section.
Each option stands in its section once.
.It indented lines
go on with the value above them.
Only options that are lists may take several lines, one item or more a line;
items on one line are parted by commas, unless the option says otherwise.
.It Li # Ns Ar comment , Li \\&; Ns Ar comment
A comment has a line of its own.
Behind a value,
.Ql #
and
.Ql \\&;
are part of the value.
.El
.Pp
Sections and options begin at the left edge.
Values are taken literally: no quoting, escaping or substitution; surrounding
blanks are removed.
A section or option that does not exist is an error, and so is a value that
cannot be understood; a file with an error is refused as a whole.
.Dl smtpd-classic check
prints each error with its line.
.Ss Values
.Bl -tag -width Ds
.It yes or no
.Li on , true , 1
and
.Li off , false , 0
mean the same.
.It duration
A number and its unit:
.Li s , m , h , d
or
.Li w ,
as in
.Li 30m ,
.Li 4h
or
.Li 1h30m .
.It size
A number of bytes, or a number and a binary unit:
.Li K , M , G
or
.Li T ,
as in
.Li 25M .
.It network
An IP address, a network such as
.Li 192.0.2.0/24
or
.Li 2001:db8::/32 ,
or the short form
.Li 192.168.\\&
for all addresses that begin so.
.It path
A file or folder.
A relative name is beside the configuration file.
.El
.Ss When a change takes effect
The server reads the file when it starts and when it is told to reload
.Pq Dv SIGHUP .
Open connections keep the settings with which they began.
A file with an error changes nothing: the old settings stay in force.
Options marked
.Dq restart
wait for a restart, and so does a new port under 1024.
"""

EXAMPLES = (
    (
        "A server for one domain that delivers by itself:",
        """\
[server]
primary_domain = example.org

[basic]
helo_name = mail.example.org

[listener smtp]
port = 25

[listener submission]
port = 587
auth = required

[listener submissions]
port = 465
tls = implicit
auth = required
""",
    ),
    (
        "All mail for others through a provider, with a login over verified TLS:",
        """\
[server]
primary_domain = example.org

[listener submission]
port = 587
auth = required

[remote]
relay_always = yes
relay_hosts = smtp.example.net
relay_port = 587
relay_ssl = yes
relay_auth = yes
relay_user = example
relay_password = secret words; all of this line
""",
    ),
    (
        "A gateway in front of two inner servers; the second is used when the first is down:",
        """\
[server]
primary_domain = gateway.example.org

[listener smtp]
port = 25

[trusted]
hosts =
    # the office
    192.0.2.0/24
    2001:db8:1::/48

[direct example.org]
hosts =
    10.0.0.5
    10.0.0.6:2525
open = yes
""",
    ),
)

_FILES = """\
.Bl -tag -width Ds
.It Pa /etc/smtpd-classic/smtpd-classic.conf
The configuration.
It holds passwords, and is refused when every user may read it.
.It Pa /etc/smtpd-classic/users
The accounts.
.It Pa /etc/smtpd-classic/aliases
The aliases.
.It Pa /etc/smtpd-classic/versions/
The earlier versions of the configuration, kept when the screens or
.Dl smtpd-classic config set
change it.
.El
"""

_SEE_ALSO = """\
.Xr aliases 5 ,
.Xr smtpd-classic 8 ,
.Xr smtpd-classic-queue 8 ,
.Xr smtpd-classic-tui 8
"""


def manual() -> str:
    """Return smtpd-classic.conf(5) in mdoc."""
    parts = [
        f".Dd {_DATE}\n.Dt SMTPD-CLASSIC.CONF 5\n.Os\n",
        ".Sh NAME\n.Nm smtpd-classic.conf\n.Nd configuration file of smtpd-classic\n",
        f".Sh DESCRIPTION\n{_DESCRIPTION}",
        ".Sh SECTIONS AND OPTIONS\n",
        *map(_section, SECTIONS),
        f".Sh FILES\n{_FILES}",
        ".Sh EXAMPLES\n",
        ".Pp\n".join(f"{_text(title)}\n{_literal(text)}" for title, text in EXAMPLES),
        f".Sh SEE ALSO\n{_SEE_ALSO}",
    ]
    return "".join(parts)


def _section(section: Section) -> str:
    head = f".Ss [{section.form}]\n{_text(section.doc)}\n"
    name = f"{_text(f'NAME: {section.name_kind.name}.')}\n" if section.name_kind else ""
    return head + name + ".Bl -tag -width Ds\n" + "".join(map(_item, section.options())) + ".El\n"


def _item(option: Option) -> str:
    head = f".It Ic {option.name} Li = Ar {_argument(option.kind.name)}\n"
    return head + f"{_text(option.doc)}\n" + "".join(_notes(option))


def _notes(option: Option) -> Iterator[str]:
    if option.required:
        yield "There is no default; the option must be set.\n"
    elif option.default_text:
        yield f"The default is\n.Li {_argument(option.default_text)} .\n"
    else:
        yield "The default is blank.\n"
    if option.restart:
        yield ".Pq restart\n"


def _literal(text: str) -> str:
    return f".Bd -literal -offset indent\n{_escaped(text)}.Ed\n"


def _argument(text: str) -> str:
    """Escape a text for the line of a macro, where a lone or last delimiter would have a meaning."""
    return re.sub(r"[:\]](?=$|\s)", r"\\&\g<0>", _escaped(text))


_ESCAPES = {"\\": "\\e", "“": "\\(lq", "”": "\\(rq", "’": "\\(cq", "–": "\\(en", "…": "\\&..."}


def _escaped(text: str) -> str:
    """Escape a text so that mdoc shows it as it is, also a line that begins with a dot or an apostrophe."""
    plain = "".join(_ESCAPES.get(char, char if char < "\x7f" else f"\\[u{ord(char):04X}]") for char in text)
    return re.sub(r"^(?=[.'])", r"\\&", plain, flags=re.MULTILINE)


def _text(text: str) -> str:
    """Return a paragraph with each sentence on a line of its own."""
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z0-9.(])", text)
    return _escaped("\n".join(textwrap.fill(each, 78, break_on_hyphens=False) for each in sentences))


def generated(root: Path) -> dict[Path, str]:
    """Return the generated files below a folder with their texts."""
    return {
        root / "conf" / "smtpd-classic.conf": sample(),
        root / "man" / "smtpd-classic.conf.5": manual(),
    }


def main(root: Path) -> None:
    for path, text in generated(root).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[2])
