"""Backup and restore: the configuration, accounts, keys, queue and mailboxes of one server in one compressed tar file.

    backup.json             the form, the version of the program, the time
    etc/                    smtpd-classic.conf, users, aliases, certificate.pem, key.pem, dkim/
    spool/                  the queue as it is on disk (spool.spool), with the secrets and senders of SRS
    spool/gone/ID           empty: the entry ID was done before its state could be saved
    mail/                   the Maildirs, and .incoming/, if they were asked for

Guarantee: each message that was acknowledged before the backup began is in the archive, or had left the server.
Therefore the queue is saved first, then the way into the mailboxes, then the mailboxes.
"""

from smtpd_classic.backup.archive import Saved, save
from smtpd_classic.backup.restore import NotRestored, Restored, restore

__all__ = ["NotRestored", "Restored", "Saved", "restore", "save"]
