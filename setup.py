import os
import shutil
import sys
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup

# What every message passes through: with SMTPD_CLASSIC_COMPILE=1 it is compiled by mypyc, from the same source, which
# goes along and is what another Python runs. tests/test_compiled.py says what such a module must keep to.
COMPILED = {
    "smtpd_classic": "domain_name domain_patterns durable log pool schedule services",
    "smtpd_classic/accounts": "account accounts address book login passwords reading resolution",
    "smtpd_classic/client": (
        "answers attempt batches connections content dialect endpoint health hosts lmtp not_ready outcomes relay"
        " remote routes session signing slots transaction transcript transport wire wording"
    ),
    "smtpd_classic/counters": "deferred_counts file_store group_counters sender_limits store table",
    "smtpd_classic/dovecot": "connection protocol sockets",
    "smtpd_classic/mailauth": (
        "author body_hash canonical dkim_key dkim_sign dkim_signature dkim_verify dmarc dmarc_record lookup"
        " message_check results spf spf_macro spf_record tag_list"
    ),
    "smtpd_classic/mailstore": "folders incoming store",
    "smtpd_classic/message": "authors encoded_words headers mailboxes phrase rewriting trace",
    "smtpd_classic/policy": (
        "__init__ answers approvals archive checks client groups hosts limits lmtp networks recipients"
        " relaying rules sender sending_limits transaction trust"
    ),
    "smtpd_classic/reception": (
        "__init__ acceptance content deciding destination division foreign_results header journal lmtp login message"
        " parts reception sending"
    ),
    "smtpd_classic/retry": (
        "attempt context delivery_threads due_times job_queue journal limits recipient_states round_robin scheduler"
        " throttled"
    ),
    "smtpd_classic/runtime": "__init__ blocks clients counters milter_counts minutes wakes",
    "smtpd_classic/server": "acceptor connection listener_server context thread_pool wire",
    "smtpd_classic/smtp": (
        "address buffer client commands content events exchange extensions grammar incoming legality pipelining replies"
        " reply sasl scram limits session session_state"
    ),
    "spool": "claim disk draft queue_id spool state_file",
}
REQUIRED = [
    "ConfigUpdater>=4.1,<5",
    "argon2-cffi>=21.1",
    "compressed_rtf>=1.0.7,<2",
    "cryptography>=38",
    "dnspython>=2.9,<3",
    "filelock>=4.2,<5",
    "idna>=3.10,<4",
    "tnefparse>=1.4,<2",
    "urwid>=5.0.1,<6",
]
COMPILE = os.environ.get("SMTPD_CLASSIC_COMPILE") == "1"


def machine_code() -> list[Any]:
    if not COMPILE or {"egg_info", "dist_info"} & set(sys.argv):  # which ask what is needed, before it is there
        return []
    compiler = os.environ.get("CC", "gcc").split()[0]
    if shutil.which(compiler) is None:
        sys.exit(f"Compiling needs a C compiler, and there is no {compiler} (Debian: apt-get install gcc python3-dev).")
    from mypyc.build import mypycify  # noqa: PLC0415 - only then is it needed

    modules = [f"{folder}/{name}.py" for folder, names in COMPILED.items() for name in names.split()]
    return mypycify(modules, opt_level="2", debug_level="0", multi_file=True)


setup(
    name="smtpd-classic",
    version="0.1.0",
    description="An SMTP server for a small organisation, set up in a terminal screen",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["smtpd_classic", "smtpd_classic.*", "spool", "spool.*", "tui", "tui.*"]),
    ext_modules=machine_code(),
    setup_requires=["mypy", *REQUIRED] if COMPILE else [],
    install_requires=REQUIRED,
    extras_require={
        "cluster": ["redis>=4.3"],
        "metrics": ["prometheus_client"],
        "test": [
            "aiosmtpd",
            "PyNaCl",
            "PyYAML",
            "aiosmtplib",
            "dkimpy",
            "flufl.bounce",
            "hypothesis",
            "mypy",
            "pexpect",
            "prometheus_client",
            "pyte",
            "pytest",
            "pytest-xdist",
            "redis>=4.3",
            "ruff",
            "types-PyYAML",
            "types-pexpect",
            "types-setuptools",
        ],
    },
    entry_points={
        "console_scripts": [
            "smtpd-classic = smtpd_classic.cli:main",
            "smtpd-classic-tui = tui.app:main",
            # In the virtual environment; what is in /usr/sbin and /usr/bin are links to these.
            "sendmail = smtpd_classic.sendmail:main",
            "mailq = smtpd_classic.sendmail:main",
            "newaliases = smtpd_classic.sendmail:main",
        ],
    },
)
