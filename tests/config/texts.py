"""Configurations that several tests begin with."""

__all__ = ["COMMENTED", "SOUND", "sound"]

SOUND = """\
[server]
primary_domain = example.org

[listener smtp]
port = 25
"""

COMMENTED = """\
# The head of the file,
# in two lines.

[server]
  # indented, above everything
primary_domain = example.org
; with a semicolon

# for other servers
[listener smtp]
port = 25

# for users
# with a login
[listener submission]
port   =   587
auth=required
[trusted]
hosts =
    10.0.0.0/8
    # the office
    192.0.2.7
# not indented
    192.0.2.8

    192.0.2.9
    # behind the last

# the domains
[domain example.net]
aliases = www.example.net, ftp.example.net
[remote]
# relay_mail_from = joe@example.org
# the provider
relay_hosts = smtp.example.net
relay_auth = yes
relay_user = joe
relay_password = geheim # literal; all of it

[direct a.example]
hosts = mail.a.example user=joe password=geheim2
[direct b.example]
hosts =
	mail.b.example
	192.0.2.10
# the end"""


def sound(more: str) -> str:
    """A sound file with more sections behind."""
    return f"{SOUND}\n{more}"
