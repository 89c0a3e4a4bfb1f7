"""The options of the server itself: its folders and files, and its local domains."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    ARCHIVES,
    BOOLEAN,
    DOMAIN_NAME,
    DOMAINS,
    DURATION,
    IP_ADDRESSES,
    IP_AND_PORT,
    JUNK_FOLDER,
    LOG_TARGET,
    MAILBOX_PLACE,
    MAILDIRS,
    NAME_SERVERS,
    OPTIONAL_MAILBOX_PLACE,
    OPTIONAL_PATH,
    PATH,
    SENDER_ADDRESS,
    SHARED_STATE,
    SYSTEM_USER,
    MailboxPlace,
    choice,
    number,
)
from smtpd_classic.config.option import option, required

__all__ = ["Domain", "Server"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The options of [server]."""

    primary_domain: str = required(
        DOMAIN_NAME,
        "Primary domain",
        "The domain of this server. It gives the HELO name and the postmaster their defaults and completes a login "
        "that is written without “@”. It is a local domain, also without a section of its own.",
    )
    workers: int = option(
        number(0, 64),
        0,
        "Receiving processes",
        "How many processes receive mail. 0 starts one for each processor core. Each keeps to one core. 1 runs "
        "everything, receiving and delivering, in one process, which suits tiny machines and debugging.",
        restart=True,
    )
    user: str = option(
        SYSTEM_USER,
        "smtpdc",
        "Service user",
        "The system user that owns the spool and all mailboxes. A server started as root binds its ports and then "
        "becomes this user for good. Not used when the server is started by an ordinary user.",
        restart=True,
    )
    spool_folder: str = option(
        PATH,
        "/var/spool/smtpd-classic",
        "Spool folder",
        "The folder of the queue. It must be on a local file system.",
        restart=True,
    )
    mail_folder: str = option(
        PATH,
        "/var/mail/smtpd-classic",
        "Mail folder",
        "The folder of the Maildirs, which are DOMAIN/USER below it.",
        restart=True,
    )
    mailbox: MailboxPlace = option(
        MAILBOX_PLACE,
        MAILDIRS,
        "Mailboxes",
        "The place of the mailboxes: maildir, the folders of this server; or a server of final delivery such as "
        "Dovecot, by LMTP: lmtp:unix:/run/dovecot/lmtp or lmtp:HOST:PORT, several in the order in which they are "
        "tried. Its mail waits in the queue until that server has taken it. A message that would go into the junk "
        "folder gets “X-Spam-Flag: YES” as its first line, by which a Sieve script files it; one that such a script "
        "rejects comes back to its sender, who is often forged. Mail for a full mailbox is tried until its life time "
        "ends.",
    )
    verify_recipients: bool = option(
        BOOLEAN,
        True,
        "Verify at the LMTP server",
        "Ask the LMTP server at RCPT whether it takes mail for the mailbox, so that an unknown user (550) "
        "and a full mailbox (452) are refused in place of bouncing or waiting later. While it does not answer, and "
        "when it accepts a random address, mail is accepted unverified. Answers are kept: a mailbox that takes mail "
        "for a minute, an unknown one for 10 minutes. A full one is noticed if the server says so at RCPT, as Dovecot "
        "does with lmtp_rcpt_check_quota = yes. No effect on Maildirs of this server.",
    )
    run_folder: str = option(
        PATH,
        "/run/smtpd-classic",
        "Run folder",
        "The folder of the state that the running processes share: status, counters, blocked addresses and the socket "
        "for local submission.",
        restart=True,
    )
    accounts: str = option(
        choice("files", "dovecot"),
        "files",
        "Accounts",
        "files: the accounts are in the users file. dovecot: Dovecot knows them, with LDAP, SQL or PAM behind it; a "
        "login goes through its socket auth-client, with the mechanisms that it offers, and whether an address exists "
        "is asked at its socket auth-userdb. The users file is not used then, and all mailboxes must be those of an "
        "LMTP server. The aliases stay in their file. While Dovecot does not answer, clients are told to come back "
        "later, and no mail is refused for good or comes back.",
    )
    dovecot_auth: str = option(
        PATH,
        "/run/dovecot/auth-client",
        "Dovecot: socket for logins",
        "The socket for the logins of accounts = dovecot. The service user must be able to write to it.",
    )
    dovecot_userdb: str = option(
        PATH,
        "/run/dovecot/auth-userdb",
        "Dovecot: socket for look-ups",
        "The socket for the addresses of accounts = dovecot. The service user must be its owner, as in the file that "
        "comes with this server; others are told about their own user alone. A userdb that knows every name, such as "
        "static, cannot be used, because then no address is unknown.",
    )
    users_file: str = option(
        PATH,
        "users",
        "Users file",
        "The accounts, in the form of a Dovecot passwd-file. A relative name is beside the configuration file.",
    )
    aliases_file: str = option(
        PATH,
        "aliases",
        "Aliases file",
        "The aliases, in the form of aliases(5) without programs, files and includes. A relative name is beside the "
        "configuration file.",
    )
    certificate: str = option(
        PATH,
        "tls/certificate.pem",
        "Certificate file",
        "The certificate chain for TLS, in PEM form, the server's own certificate first. It is read again when it "
        "changes. When neither this file nor the key exists, a self-signed pair is made at the first start, valid for "
        "820 days; the server renews such a certificate 30 days before its end and keeps its key. A relative name is "
        "beside the configuration file.",
    )
    private_key: str = option(
        PATH,
        "tls/key.pem",
        "Private key file",
        "The private key of the certificate, in PEM form, readable by the service user alone.",
    )
    log: str = option(
        LOG_TARGET,
        "syslog",
        "Log to",
        "Where log lines go: syslog (facility mail), stderr, or the absolute name of a file, which is opened again "
        "when it has been rotated.",
    )
    name_servers: tuple[tuple[str, int], ...] = option(
        NAME_SERVERS,
        (),
        "Name servers",
        "The DNS servers to ask. Blank means those of /etc/resolv.conf.",
    )
    authserv_ids: tuple[str, ...] = option(
        DOMAINS,
        (),
        "Names in Authentication-Results",
        "Further names under which servers of yours write Authentication-Results. Such fields are removed from mail of "
        "others, as are those with the HELO name or a local domain.",
    )
    junk_folder: str = option(
        JUNK_FOLDER,
        ".Junk",
        "Junk folder",
        "The folder of each mailbox for mail that looks forged, in the form of Maildir++. Blank: such mail is marked "
        "and goes to the inbox. An account may have another one: “smtpd-classic user junk-folder”.",
    )
    junk_time: timedelta = option(
        DURATION,
        timedelta(days=30),
        "Keep junk for",
        "After this time a message in the junk folder is removed. It counts from the delivery, or from the moment when "
        "a user moved the message there. Messages in the junk folder do not count for the quota. 0: they are kept.",
    )
    metrics: str = option(
        IP_AND_PORT,
        "",
        "Metrics for Prometheus",
        "The IP address and port at which Prometheus gets the figures of this server by HTTP, at /metrics. It has no "
        "password, so choose an address that only your own machines reach. It needs the Python package "
        "prometheus_client. Blank: off.",
    )
    shared_state: str = option(
        SHARED_STATE,
        "",
        "Shared state (Redis or Valkey)",
        "The Redis or Valkey server by which several servers share blocked clients, failed logins, sending limits, the "
        "greylist, verified recipients and decisions by mail. It needs the Python package redis, and "
        "maxmemory-policy = noeviction. All servers need the same srs-secret and approval-secret beside this file. "
        "Blank: nothing is shared.",
    )
    shared_state_password_file: str = option(
        OPTIONAL_PATH,
        "",
        "Shared state: password file",
        "A file with the password in its first line, instead of one in the URL; the service user must read it.",
    )
    public_addresses: tuple[str, ...] = option(
        IP_ADDRESSES,
        (),
        "Public addresses",
        "The IP addresses under which other servers know this one, where they are not on its interfaces (behind NAT or "
        "a load balancer). They are written into the DNS records that are printed, and mail is never sent to them. "
        "Blank: the addresses of the interfaces.",
    )
    probe_hosts: tuple[str, ...] = option(
        DOMAINS,
        (),
        "Hosts to probe",
        "Mail servers of others that “smtpd-classic doctor” connects to at port 25, to see whether this server can "
        "reach the Internet. Blank: the two that took mail of this server last.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The options of [domain NAME]."""

    name: str
    aliases: tuple[str, ...] = option(
        DOMAINS,
        (),
        "Domain aliases",
        "Other names of this domain: the same mailboxes under each of them.",
    )
    mailbox: MailboxPlace | None = option(
        OPTIONAL_MAILBOX_PLACE,
        None,
        "Mailboxes",
        "The place of the mailboxes of this domain, in the form of the option of [server]. Blank: as that option says.",
    )
    catch_all: str = option(
        SENDER_ADDRESS,
        "",
        "Catch-all address",
        "The address that gets mail for every address of this domain that exists neither as an account nor as an "
        "alias. Blank: such mail is refused.",
    )
    archive_incoming: tuple[str, ...] = option(
        ARCHIVES,
        (),
        "Archive of incoming mail",
        "The addresses that get a copy of each message for a recipient of this domain, besides those in [archive].",
    )
    archive_outgoing: tuple[str, ...] = option(
        ARCHIVES,
        (),
        "Archive of outgoing mail",
        "The same for each message that a user, trusted host or local program sends from an address of this domain.",
    )
    sign: str = option(
        choice("auto", "no"),
        "auto",
        "Sign mail (DKIM)",
        "auto: mail of this domain is signed as soon as DNS shows its key. no: it is never signed.",
    )
    dkim_algorithm: str = option(
        choice("rsa2048", "rsa3072", "ed25519", "rsa2048+ed25519"),
        "rsa2048",
        "Algorithm of new DKIM keys",
        "The kind of the keys that are made for this domain from now on. Large providers verify RSA alone. Some relays "
        "refuse a message with two signatures.",
    )
    dkim_rotate: timedelta = option(
        DURATION,
        timedelta(0),
        "Change the DKIM key after",
        "The age of a key at which the next one is made. The log and “smtpd-classic dkim list” show it, and it is used "
        "as soon as DNS shows it. Keep the old record for 30 days. 0: never. With shared_state no key is made by "
        "itself: use “smtpd-classic dkim add”, and copy it to the others.",
    )
