"""Listeners & TLS: an option of a listener takes effect at a reload, and is seen on the wire."""

import ssl
import warnings

import pytest

from tests.wire.world import World


def speaks(world: World, ciphers: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> bool:
    """Return True if the smtp listener agrees to one of the ciphers."""
    context = world.instance.tls()
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with world.client() as client:
        try:
            client.starttls(context=context)
        except (ssl.SSLError, ConnectionResetError):
            return False
        return client.ehlo()[0] == 250


@pytest.mark.parametrize(
    ("value", "dhe", "cbc", "rsa", "old"),
    [
        ("modern", False, False, False, False),
        ("intermediate", True, True, False, False),
        ("old", True, True, True, True),
    ],
)
def test_tls_ciphers(world: World, value: str, dhe: bool, cbc: bool, rsa: bool, old: bool) -> None:
    world.given({"listener smtp": {"tls_ciphers": value}})
    assert speaks(world, "ECDHE-RSA-AES256-GCM-SHA384")
    assert speaks(world, "DHE-RSA-AES128-GCM-SHA256") is dhe
    assert speaks(world, "ECDHE-RSA-AES256-SHA") is cbc
    assert speaks(world, "AES256-SHA") is rsa
    assert speaks(world, "ALL", ssl.TLSVersion.TLSv1) is old
