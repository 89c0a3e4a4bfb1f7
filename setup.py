from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="smtpd-classic",
    version="0.1.0",
    description="An SMTP server for a small organisation, set up in a terminal screen",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["smtpd_classic", "smtpd_classic.*", "spool", "spool.*", "tui", "tui.*"]),
    install_requires=[
        "ConfigUpdater>=4.1,<5",
        "argon2-cffi>=21.1",
        "compressed_rtf>=1.0.7,<2",
        "dnspython>=2.9,<3",
        "filelock>=4.2,<5",
        "idna>=3.10,<4",
        "tnefparse>=1.4,<2",
        "urwid>=5.0.1,<6",
    ],
    extras_require={
        "test": [
            "aiosmtpd",
            "aiosmtplib",
            "flufl.bounce",
            "hypothesis",
            "mypy",
            "pexpect",
            "pyte",
            "pytest",
            "pytest-xdist",
            "ruff",
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
