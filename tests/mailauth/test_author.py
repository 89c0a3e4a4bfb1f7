"""The author's domain."""

import pytest

from smtpd_classic.mailauth.author import AuthorProblem, author_domain
from smtpd_classic.message.headers import HeaderBlock


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        ("From: ann@example.org\n", "example.org"),
        ("FROM : Ann <ann@Example.ORG>\n", "example.org"),
        ("From: Ann\n <ann@example.org>, Bob <bob@example.org>\n", "example.org"),
        ("From: =?utf-8?q?J=C3=BCrgen?= <j@bücher.example>\n", "xn--bcher-kva.example"),
        ("From: (a@b.example) ann@example.org\n", "example.org"),
        ("From: team: ann@example.org, bob@example.org;\n", "example.org"),
        ('From: "x@evil.example" <ann@example.org>\n', "example.org"),
        ("From: Dr. A. (Bob <ann@example.org>\n", "example.org"),
        ("From: A; B <ann@example.org>\n", "example.org"),
        ("From: a@localhost\n", ""),
        ("From: a@[192.0.2.1]\n", ""),
    ],
)
def test_one_domain_is_found(header: str, domain: str) -> None:
    assert author_domain(HeaderBlock(header.encode())) == domain


@pytest.mark.parametrize(
    "header",
    [
        "To: a@example.org\n",
        "From: a@example.org\nFrom: a@example.org\n",
        "From: a@example.org\nfrom : b@example.net\n",
        "From: a@example.org, b@example.net\n",
        "From: undisclosed:;\n",
        "From:\n",
        "From: a@evil.example <b@example.org>\n",
        "From: <a@evil.example> <b@example.org>\n",
        "From: (((a@example.org\n",
    ],
)
def test_anything_else_is_a_problem(header: str) -> None:
    with pytest.raises(AuthorProblem):
        author_domain(HeaderBlock(header.encode()))
