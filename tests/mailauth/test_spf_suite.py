"""All 203 cases of the test suite of RFC 7208."""

import pytest

from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from tests.mailauth.suite import SuiteCase, suite_cases

CASES = suite_cases()


def test_the_suite_is_there_and_whole() -> None:
    assert len(CASES) == 203, "run “make tools”"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_of_rfc_7208(case: SuiteCase) -> None:
    result = check_spf(SpfQuery(case.ip, case.mail_from, case.helo), Lookups(case.zone))
    assert result.word in case.results, result
    if case.explanation is not None:
        assert (result.explanation or "DEFAULT") == case.explanation
