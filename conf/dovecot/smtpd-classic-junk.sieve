# Files the messages that smtpd-classic has marked: it writes this field for mail that would go into its junk folder.
# Copy it to /etc/dovecot/sieve/, and run “sievec /etc/dovecot/sieve/smtpd-classic-junk.sieve” as root.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
