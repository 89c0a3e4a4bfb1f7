"""`dkim` and `dns`: from no key to a key in use, with a real name server that has loaded what was printed."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.dns import DnsResolver
from tests.instance import Instance, free_port
from tests.keys.name_server import zone_server


@pytest.fixture
def instance() -> Iterator[Instance]:
    """One that is not started; nobody answers at its name server."""
    with tempfile.TemporaryDirectory(prefix="smtpd-classic-") as folder:
        Path(folder).chmod(0o755)
        found = Instance(Path(folder) / "instance")
        found.set("server", "name_servers", f"127.0.0.1:{free_port()}")
        found.set("server", "public_addresses", "192.0.2.1, 2001:db8::1")
        found.set("basic", "helo_name", "mail.example.test")
        yield found


def output(instance: Instance, *words: str, code: int = 0) -> str:
    done = instance.run(*words)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def test_the_whole_way_of_a_key(instance: Instance, tmp_path: Path) -> None:
    output(instance, "dkim", "add", "example.test", "--algorithm", "ed25519")
    keys = json.loads(output(instance, "dkim", "list", "--json"))
    assert [(key["state"], key["algorithm"]) for key in keys] == [("new", "rsa2048"), ("new", "ed25519")]
    selector = keys[0]["selector"]
    refused = instance.run("dkim", "use", selector)
    assert (refused.returncode, "could not be asked" in refused.stderr) == (75, True)
    with zone_server(tmp_path / "empty", "example.test", "") as port:
        instance.set("server", "name_servers", f"127.0.0.1:{port}")
        refused = instance.run("dkim", "use", selector)
        assert (refused.returncode, "shows no key" in refused.stderr) == (65, True)
        assert instance.run("dns", "check", "example.test").returncode == 1
    fragment = output(instance, "dns", "records", "example.test", "--zone")
    with zone_server(tmp_path / "full", "example.test", fragment) as port:
        instance.set("server", "name_servers", f"127.0.0.1:{port}")
        assert "missing" not in output(instance, "dns", "check", "example.test")
        output(instance, "dkim", "use", selector)
        resolver = DnsResolver((("127.0.0.1", port),))
        assert resolver.txt(keys[0]["name"]) == (keys[0]["record"].encode(),)
        assert [each.host for each in resolver.mx_records("example.test")] == ["mail.example.test"]
        assert resolver.txt("example.test") == (b"v=spf1 mx ~all",)
        assert resolver.txt("mail.example.test") == (b"v=spf1 a -all",)
        assert set(resolver.addresses("mail.example.test")) == {"192.0.2.1", "2001:db8::1"}
    assert "in use" in output(instance, "dkim", "list")
    output(instance, "dkim", "retire", selector)
    assert "retired" in output(instance, "dkim", "list")
    assert keys[0]["name"] not in output(instance, "dns", "records", "example.test")


def test_use_may_be_forced(instance: Instance) -> None:
    (key,) = json.loads(output(instance, "dkim", "list", "--json"))
    output(instance, "dkim", "use", key["selector"], "--force")
    assert "in use" in output(instance, "dkim", "list")


def test_a_name_that_is_a_mail_domain_has_one_spf_record(instance: Instance) -> None:
    instance.set("basic", "helo_name", "example.test")
    records = json.loads(output(instance, "dns", "records", "example.test", "--json"))
    spf = [each["data"] for each in records if each["data"].startswith("v=spf1")]
    assert spf == ["v=spf1 mx ~all"]


def test_with_a_relay_its_spf_record_is_included(instance: Instance) -> None:
    instance.set("remote", "relay_hosts", "smtp.relay.example")
    assert "v=spf1 mx include:relay.example ~all" in output(instance, "dns", "records", "example.test")


def test_a_domain_whose_host_is_in_another_zone_has_no_address_records(instance: Instance) -> None:
    output(instance, "domain", "add", "example.net")
    records = json.loads(output(instance, "dns", "records", "example.net", "--json"))
    assert not [each for each in records if each["kind"] in {"A", "AAAA"} or each["name"] == "mail.example.test"]


def test_long_keys_are_split_and_shown_in_one_piece_too(instance: Instance) -> None:
    shown = output(instance, "dkim", "add", "example.test", "--algorithm", "rsa3072")
    line = next(line for line in shown.splitlines() if " IN TXT " in line)
    strings = line.split(" IN TXT ")[1].strip('"').split('" "')
    assert len(strings) == 3
    assert all(len(each) <= 255 for each in strings)
    assert f"; {''.join(strings)}" in shown.splitlines()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("dkim", "add", "elsewhere.test"), 65),
        (("dkim", "use", "nosuch"), 65),
        (("dns", "records", "elsewhere.test"), 65),
    ],
)
def test_an_unknown_name_is_refused(instance: Instance, words: tuple[str, ...], code: int) -> None:
    assert instance.run(*words).returncode == code


@pytest.mark.parametrize("spelling", ["Bücher.example", "xn--bcher-kva.example."])
def test_an_international_domain_is_found_in_every_spelling(instance: Instance, spelling: str) -> None:
    output(instance, "domain", "add", "bücher.example")
    instance.set("domain bücher.example", "dkim_algorithm", "ed25519")
    output(instance, "dkim", "add", spelling)
    keys = json.loads(output(instance, "dkim", "list", "--json"))
    first, second = (key for key in keys if key["domain"] == "xn--bcher-kva.example")
    assert second["algorithm"] == "ed25519"
    assert second["record"] in output(instance, "dkim", "show", second["selector"], "--domain", spelling)
    assert first["record"] in output(instance, "dkim", "show", first["selector"], "--domain", spelling)
    assert instance.run("dkim", "show", first["selector"], "--domain", "a‥b").returncode == 65


def test_the_addresses_of_reports_are_printed_as_uris(instance: Instance) -> None:
    instance.set("signing", "dmarc_reports_to", "a!b@bücher.example")
    instance.set("signing", "tls_reports_to", "tls@bücher.example")
    fragment = output(instance, "dns", "records", "example.test", "--zone")
    assert '"v=DMARC1; p=none; rua=mailto:a%21b@xn--bcher-kva.example"' in fragment
    assert '"v=TLSRPTv1; rua=mailto:tls@xn--bcher-kva.example"' in fragment


def test_check_reports_a_key_in_use_that_cannot_be_used(instance: Instance) -> None:
    (key,) = json.loads(instance.run("dkim", "list", "--json").stdout)
    assert instance.run("dkim", "use", key["selector"], "--force").returncode == 0
    assert instance.run("check").returncode == 0
    (instance.folder / "dkim" / instance.domain / f"{key['selector']}.pem").write_text("nonsense")
    done = instance.run("check")
    assert done.returncode == 78
    assert f"mail of {instance.domain} waits, because its DKIM key cannot be used" in done.stderr


def test_check_warns_when_every_user_may_sign_as_every_other(instance: Instance) -> None:
    words = "every user can send signed mail (DKIM) in the name of every other"
    assert words not in instance.run("check").stderr
    instance.set("basic", "require_own_sender", "no")
    assert words in instance.run("check").stderr
    instance.set(f"domain {instance.domain}", "sign", "no")
    assert words not in instance.run("check").stderr
    output(instance, "domain", "add", "signed.example")
    assert words in instance.run("check").stderr


def test_a_domain_that_is_never_signed_needs_no_key(instance: Instance, tmp_path: Path) -> None:
    instance.set(f"domain {instance.domain}", "sign", "no")
    instance.set(f"domain {instance.domain}", "aliases", "other.example")
    assert "has no key" not in instance.run("dkim", "list").stderr
    fragment = output(instance, "dns", "records", "example.test", "--zone")
    assert "_domainkey" not in fragment
    with zone_server(tmp_path / "zone", "example.test", fragment) as port:
        instance.set("server", "name_servers", f"127.0.0.1:{port}")
        output(instance, "dns", "check", "example.test")
    # A key of its other name, which the server had used before.
    output(instance, "dkim", "add", "other.example")
    (key,) = (
        each for each in json.loads(output(instance, "dkim", "list", "--json")) if each["domain"] == "other.example"
    )
    output(instance, "dkim", "use", key["selector"], "--domain", "other.example", "--force")
    (instance.folder / "dkim" / "other.example" / f"{key['selector']}.pem").write_text("nonsense")
    assert "waits, because its DKIM key" not in instance.run("check").stderr


def test_the_last_change_of_the_keys_is_taken_back_by_a_command(instance: Instance) -> None:
    (key,) = json.loads(output(instance, "dkim", "list", "--json"))
    output(instance, "dkim", "retire", key["selector"])
    kept = json.loads(output(instance, "dkim", "versions", "example.test", "--json"))
    assert output(instance, "dkim", "versions", "example.test").startswith(kept[0]["name"])
    done = instance.run("dkim", "undo", "example.test")
    assert f"{key['selector']}: new instead of retired" in done.stderr
    assert [each["state"] for each in json.loads(output(instance, "dkim", "list", "--json"))] == ["new"]
    output(instance, "dkim", "restore", "example.test", "state.json.never", code=65)


def test_a_key_that_is_restored_is_not_used_before_dns_shows_it(instance: Instance) -> None:
    """Neither by `undo`, nor after its domain was taken away and added again."""
    (key,) = json.loads(output(instance, "dkim", "list", "--json"))
    output(instance, "dkim", "use", key["selector"], "--force")
    output(instance, "dkim", "retire", key["selector"])
    assert f"{key['selector']}: new instead of retired" in instance.run("dkim", "undo", "example.test").stderr
    assert [each["state"] for each in json.loads(output(instance, "dkim", "list", "--json"))] == ["new"]
    output(instance, "domain", "add", "example.net")
    other = next(
        each for each in json.loads(output(instance, "dkim", "list", "--json")) if each["domain"] != "example.test"
    )
    output(instance, "dkim", "use", other["selector"], "--domain", "example.net", "--force")
    output(instance, "domain", "delete", "example.net")
    output(instance, "domain", "add", "example.net")
    assert {each["state"] for each in json.loads(output(instance, "dkim", "list", "--json"))} == {"new"}
