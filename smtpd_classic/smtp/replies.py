"""Every reply of the server, named once.

A reply is a constant, or a function if its text holds a value. A negative reply gives the sender one instruction in one
sentence, and does not describe the server. Codes: RFC 5321 4.2, RFC 3463, RFC 4954 6, RFC 7505; the greeting, EHLO, 334
and 354 have no enhanced code (RFC 2034 3). Every name here without an underscore is public.
"""

from collections.abc import Iterable
from functools import lru_cache

from smtpd_classic.smtp.reply import Reply

# The positive replies of a session.


@lru_cache(16)
def banner(helo_name: str) -> Reply:
    return Reply(220, "", f"{helo_name} ESMTP")


@lru_cache(16)
def hello(helo_name: str) -> Reply:
    """Return the reply to HELO and EHLO alike; the session adds the extension lines."""
    return Reply(250, "", helo_name)


READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS.")
AUTHENTICATED = Reply(235, "2.7.0", "Login accepted.")
SENDER_OK = Reply(250, "2.1.0", "Sender accepted.")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient accepted.")
START_CONTENT = Reply(354, "", "Send the message; end it with a dot on a line of its own.")
CHUNK_OK = Reply(250, "2.0.0", "Chunk received.")
RESET_OK = Reply(250, "2.0.0", "Reset.")
NOOP_OK = Reply(250, "2.0.0", "OK.")
GOODBYE = Reply(221, "2.0.0", "Goodbye.")
HELP_LMTP = Reply(214, "2.0.0", "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT\nSee RFC 2033.")
HELP = Reply(214, "2.0.0", "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT\nSee RFC 5321.")
VERIFY_UNSURE = Reply(252, "2.5.2", "Cannot say whether the mailbox exists; send a message to find out.")
VERIFY_RELAYED = Reply(252, "2.1.5", "Mail for that domain is accepted and passed on.")


def challenge(text: str) -> Reply:
    """Return a SASL challenge, without base64: the session encodes it."""
    return Reply(334, "", text)


def accepted(queue_id: str) -> Reply:
    return Reply(250, "2.0.0", f"Queued as {queue_id}")


def verified(full_name: str, address: str) -> Reply:
    return Reply(250, "2.1.5", f"{full_name} <{address}>" if full_name else f"<{address}>")


def expanded(members: Iterable[str]) -> Reply:
    """Return the members of an alias, one a line (RFC 5321 3.5.2)."""
    return Reply(250, "2.1.5", "\n".join(f"<{member}>" for member in members))


# Syntax and sequence: answered by the session (RFC 5321 4.2.4, 4.3.2).

LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long; keep commands within 4096 octets.")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "Line too long; keep authentication exchanges within 12288 octets.")
BAD_LINE_END = Reply(500, "5.5.2", "End each line with CR LF, and use neither of them within it.")
NUL_IN_COMMAND = Reply(500, "5.5.2", "Send commands without NUL.")
UNKNOWN_COMMAND = Reply(500, "5.5.2", "Command not recognized; send HELP for a list.")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented; send HELP for a list.")
NOT_ASCII = Reply(501, "5.5.2", "Send commands in printable ASCII; only addresses may be UTF-8, with SMTPUTF8.")
BAD_HELLO = Reply(501, "5.5.4", "Give your host name or address literal, as in EHLO mail.example.org.")
NO_ARGUMENT_ALLOWED = Reply(501, "5.5.4", "Send this command without an argument.")
ARGUMENT_MISSING = Reply(501, "5.5.4", "Send this command with an argument.")
BAD_MAIL = Reply(501, "5.5.4", "Write MAIL FROM:<address>, then the parameters.")
BAD_RCPT = Reply(501, "5.5.4", "Write RCPT TO:<address>, then the parameters.")
BAD_SENDER_ADDRESS = Reply(501, "5.1.7", "The sender is not a valid address; write <local@domain>.")
BAD_RECIPIENT_ADDRESS = Reply(501, "5.1.3", "The recipient is not a valid address; write <local@domain>.")
UTF8_NOT_DECLARED = Reply(553, "5.6.7", "Addresses outside ASCII need the SMTPUTF8 parameter of MAIL.")
BINARYMIME_NOT_OFFERED = Reply(504, "5.5.4", "BODY=BINARYMIME is not offered; send 7BIT or 8BITMIME.")
BAD_BDAT = Reply(501, "5.5.4", "Write BDAT and the size, then LAST for the last chunk.")
BAD_BASE64 = Reply(501, "5.5.2", "Send the response in base64.")
AUTH_CANCELLED = Reply(501, "5.7.0", "Login cancelled as you asked.")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Use one of the authentication mechanisms that EHLO announces.")
HELLO_FIRST = Reply(503, "5.5.1", "Send EHLO first.")
LHLO_FIRST = Reply(503, "5.5.1", "Send LHLO first.")
LHLO_ONLY = Reply(500, "5.5.1", "LMTP is spoken here; send LHLO.")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first.")
RCPT_FIRST = Reply(503, "5.5.1", "No valid recipients; send RCPT first.")
NESTED_MAIL = Reply(503, "5.5.1", "A transaction is open; finish it or send RSET.")
CHUNKS_STARTED = Reply(503, "5.5.1", "The message has begun with BDAT; go on with BDAT or send RSET.")
NOT_IN_TRANSACTION = Reply(503, "5.5.1", "Not allowed within a transaction; finish it or send RSET.")
ALREADY_AUTHENTICATED = Reply(503, "5.5.1", "You are logged in already.")
AUTH_NOT_OFFERED = Reply(502, "5.5.1", "Login is not offered on this port; send without it or use another port.")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Send STARTTLS before you log in.")
TLS_NOT_OFFERED = Reply(502, "5.5.1", "STARTTLS is not offered; go on without it.")
ALREADY_ENCRYPTED = Reply(503, "5.5.1", "TLS is active already.")
EXPAND_OFF = Reply(502, "5.5.1", "EXPN is switched off; send to the list address itself.")
PIPELINED_TOO_FAR = Reply(554, "5.5.0", "Wait for the reply to EHLO, DATA or STARTTLS before you send more.")
CHUNK_TOO_BIG = Reply(421, "4.7.0", "The chunk is larger than a message may be; closing the connection.")
TALKED_BEFORE_BANNER = Reply(554, "5.5.0", "Wait for the greeting before you send commands.")
REFUSED_SESSION = Reply(503, "5.5.1", "Access is denied; send QUIT.")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors; correct them and connect again later.")
TOO_MANY_RESETS = Reply(421, "4.7.0", "Too many RSET commands; connect again later.")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without a message; connect again later.")
NOT_SMTP = Reply(421, "4.7.0", "This port speaks SMTP; use a mail program.")
CANNOT_RESYNCHRONISE = Reply(421, "4.7.0", "The size of the chunk is unknown; connect again.")


def unknown_parameter(name: str) -> Reply:
    return Reply(555, "5.5.4", f"Parameter {name} is not known; leave it out.")


def bad_parameter(name: str) -> Reply:
    return Reply(501, "5.5.4", f"Parameter {name} has no valid value, or is given twice.")


# The connection (spec: access control, limits, deadlines).

ACCESS_DENIED = Reply(554, "5.7.1", "Access denied for your network; ask the postmaster by other means.")
BLOCKED = Reply(421, "4.7.0", "Too many failures from your address; try again later.")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections; try again later.")
TOO_MANY_CONNECTIONS_FROM_YOU = Reply(421, "4.7.0", "Too many connections from your address; close some or try later.")
PROXY_NOT_EXPECTED = Reply(421, "4.3.5", "This port expects no PROXY header from you; the log names the option.")
IDLE_TOO_LONG = Reply(421, "4.4.2", "Silent for too long; connect again.")
MESSAGE_TOO_SLOW = Reply(421, "4.4.2", "The message took too long; connect again and send it faster.")
SHUTTING_DOWN = Reply(421, "4.3.2", "The service is restarting; connect again in a minute.")
OVERLOADED = Reply(421, "4.3.2", "Too busy at the moment; connect again in a minute.")
TLS_NOT_AVAILABLE = Reply(454, "4.7.0", "TLS is not available at the moment; try again later.")

# Login (RFC 4954 6). One text for all failures: a client must not learn which accounts exist.

LOGIN_FAILED = Reply(535, "5.7.8", "Login failed; check the user name and password.")
TOO_MANY_FAILED_LOGINS = Reply(421, "4.7.0", "Too many failed logins; check the password and connect again.")
LOGIN_NOT_AVAILABLE = Reply(454, "4.7.0", "Login is not possible at the moment; try again later.")
LOGIN_REQUIRED = Reply(530, "5.7.0", "Log in before you send mail.")
LOGIN_REQUIRED_FOR_SENDER = Reply(530, "5.7.0", "Log in to send with an address of this domain.")

# The sender.

SENDER_NOT_LOCAL = Reply(550, "5.1.0", "Send with an address of this server's own domains.")
SENDER_NOT_YOURS = Reply(553, "5.7.1", "Send with an address that belongs to your login.")
FROM_NOT_ONE = Reply(550, "5.7.1", "The message has more than one From field; send it with one.")
FROM_UNREADABLE = Reply(550, "5.7.1", "No valid address can be read in From or Sender; write a plain one there.")


def from_not_yours(address: str) -> Reply:
    shown = address[:254].encode("ascii", "backslashreplace").decode()
    return Reply(550, "5.7.1", f"<{shown}> in From or Sender is not an address of your login; use your own address.")


# Recipients.

NO_SUCH_USER = Reply(550, "5.1.1", "User unknown here; check the address.")
MAILBOX_DISABLED = Reply(550, "5.2.1", "The mailbox is disabled; contact the recipient by other means.")
MAILBOX_FULL = Reply(452, "4.2.2", "The mailbox is full; try again later.")
NOT_LOCAL = Reply(550, "5.7.1", "Only local recipients are taken by LMTP; send other mail by SMTP.")
RELAY_DENIED = Reply(550, "5.7.1", "Relay access denied; log in first to send to other domains.")
ACCOUNT_SUSPENDED = Reply(550, "5.7.1", "This account is suspended; ask the postmaster.")
LOGIN_SUSPENDED = Reply(535, "5.7.13", "This account is suspended; ask the postmaster.")
OVER_LIMIT_DEFERRED = Reply(450, "4.7.1", "Your sending limit is reached; try again later, or ask the postmaster.")
OVER_LIMIT_REFUSED = Reply(550, "5.7.1", "Your sending limit is reached; ask the postmaster.")
RECIPIENT_UNKNOWN_INSIDE = Reply(550, "5.1.1", "User unknown at the server of this domain; check the address.")
RECIPIENT_UNVERIFIED = Reply(450, "4.1.1", "The recipient cannot be verified at the moment; try again later.")
NO_SUCH_DOMAIN = Reply(550, "5.1.2", "The domain does not exist; check the address.")
DOMAIN_TAKES_NO_MAIL = Reply(556, "5.1.10", "The domain accepts no mail; check the address.")
TOO_MANY_RECIPIENTS_DEFERRED = Reply(452, "4.5.3", "Too many recipients; send to the rest in another transaction.")
TOO_MANY_RECIPIENTS_REJECTED = Reply(550, "5.5.3", "Too many recipients; send the message in smaller groups.")
TOO_MANY_RECIPIENTS_AT_DATA = Reply(554, "5.5.3", "Too many recipients, nothing was sent; send it in smaller groups.")
AMBIGUOUS_USER = Reply(553, "5.1.4", "More than one mailbox matches; give the full address.")
EXPAND_NEEDS_UTF8 = Reply(550, "5.6.8", "The reply holds addresses outside ASCII; ask again with SMTPUTF8.")
NO_SUCH_LIST = Reply(550, "5.1.1", "No such list here; check the address.")

# The message.


MESSAGE_TOO_BIG = Reply(552, "5.3.4", "The message is too big; send a smaller one.")


def too_big(limit: int) -> Reply:
    """Return MESSAGE_TOO_BIG with the limit in octets, where it may be named."""
    return Reply(552, "5.3.4", f"The message is too big; send at most {limit} octets.")


HEADER_TOO_BIG = Reply(552, "5.3.4", "The header is too big; send it with fewer or shorter fields.")
TOO_MANY_HOPS = Reply(554, "5.4.6", "Too many hops, a mail loop; check the forwarding of the recipient.")
MAIL_LOOP = Reply(554, "5.4.6", "A mail loop: this recipient had the message before; check its forwarding.")
BARE_LINE_ENDS = Reply(554, "5.6.0", "The message holds CR, LF or NUL alone; send lines that end with CR LF.")

JUNK_IS_NOT_FORWARDED = Reply(
    550, "5.7.1", "The message looks forged, and its recipient is elsewhere; nothing is sent."
)


AUTOMATIC_NOT_DISTRIBUTED = Reply(550, "5.7.1", "Automatic messages are not passed on to the members of a group.")


def group_refused(group: str) -> Reply:
    return Reply(550, "5.7.1", f"You may not write to the group {_shown(group)}; log in, or ask its owner.")


APPROVAL_NOT_YOURS = Reply(550, "5.7.1", "Only a manager who has logged in may decide; nothing was done.")


def spf_refused(domain: str, ip: str) -> Reply:
    return Reply(550, "5.7.23", f"The SPF record of {_shown(domain)} does not allow {ip} to send for it")


SENDER_DOMAIN_DEFERRED = Reply(450, "4.1.8", "Sender's domain not found in DNS; use an address whose domain exists.")
SENDER_DOMAIN_REFUSED = Reply(550, "5.1.8", "Sender's domain not found in DNS; use an address whose domain exists.")
SENDER_TAKES_NO_MAIL = Reply(
    550, "5.7.27", "Sender's domain takes no mail (null MX); use an address that can be answered."
)
NO_REVERSE_NAME = Reply(550, "5.7.25", "Your address has no host name that leads back to it; correct its PTR record.")
OWN_HELLO_REFUSED = Reply(550, "5.7.1", "EHLO gave our own name; use the name of your host.")
SENDER_REFUSED = Reply(550, "5.7.1", "Mail from this sender is refused here; write to the postmaster.")
HELLO_REFUSED = Reply(550, "5.7.1", "Hosts with the name in your EHLO are refused here; write to the postmaster.")
RULE_REFUSED = Reply(550, "5.7.1", "The message is refused by a rule of this server; write to the postmaster.")
ATTACHMENT_REFUSED = Reply(550, "5.7.1", "A file of this kind is not accepted here; send it by other means.")
GREYLISTED = Reply(451, "4.7.1", "Your host is not known here yet; try again in five minutes.")


def listed_in(zone: str, ip: str, reason: str) -> Reply:
    said = f": {_shown(reason)}" if reason else "; write to the postmaster"
    return Reply(550, "5.7.1", f"{ip} is listed in {_shown(zone)}{said}")


def own_domain_refused(domain: str) -> Reply:
    return Reply(550, "5.7.26", f"Mail from {_shown(domain)} must be sent after a login")


def dmarc_refused(domain: str) -> Reply:
    return Reply(
        550,
        "5.7.26",
        f"{_shown(domain)}'s DMARC policy asks us to refuse mail that neither SPF nor DKIM confirms",
    )


def _shown(text: str) -> str:
    return text[:254].encode("ascii", "backslashreplace").decode()


# Troubles of the server: temporary, and without details.

DISK_FULL = Reply(452, "4.3.1", "No space for messages at the moment; try again later.")
LOCAL_ERROR = Reply(451, "4.3.0", "A temporary failure; try again later.")
INTERNAL_ERROR = Reply(421, "4.3.0", "A temporary failure; connect again later.")
