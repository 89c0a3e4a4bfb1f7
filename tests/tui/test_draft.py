"""Edits are kept apart from the file, written as differences, and survive what others write."""

from pathlib import Path

import pytest

from smtpd_classic.config import parse
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.schema import SECTIONS
from tests.tui.program import CONFIG, made
from tui.config.draft import ConfigDraft, Row, file_text, shown_text
from tui.config.writing import write_into

OPTIONS = [(section, option) for section in SECTIONS for option in section.options()]
OTHERS = {
    "close_open_relay": "yes",
    "primary_domain": "other.example",
    "hosts": "mail.other.example:26",
}


def set_option(draft: ConfigDraft, attribute: str, name: str, text: str, row: int = 0) -> None:
    found = draft.table(attribute)[row]
    found.set(found.section.option(name), text)


def written(draft: ConfigDraft, path: Path) -> str:
    edited = Edited(path)
    write_into(draft, edited)
    return edited.file_text


def test_an_untouched_draft_changes_nothing(tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    assert not draft.changed()
    assert written(draft, path) == CONFIG


def test_what_is_set_back_is_no_change() -> None:
    draft = ConfigDraft(CONFIG)
    set_option(draft, "basic", "max_recipients", "200")
    assert draft.changed("basic")
    assert not draft.changed("remote")
    set_option(draft, "basic", "max_recipients", "100")
    assert not draft.changed()


def test_only_the_line_of_the_option_changes(tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    set_option(draft, "basic", "queue_lifetime", "5d")
    assert written(draft, path) == CONFIG.replace("queue_lifetime = 3d", "queue_lifetime = 5d")


def test_an_option_that_the_file_does_not_name_is_added_only_when_it_is_not_the_default(tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    set_option(draft, "basic", "max_hops", "100")
    assert written(draft, path) == CONFIG
    set_option(draft, "basic", "max_hops", "30")
    assert "max_hops = 30" in written(draft, path)


def test_a_list_that_goes_one_item_a_line_stays_so_with_its_comments(tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    set_option(draft, "open_relay", "domains", "sister.example, .branch.example, new.example")
    text = written(draft, path)
    assert "    # our sister\n    sister.example\n    .branch.example\n    new.example\n" in text


def test_rows_come_go_move_and_change_their_names(tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    rows = draft.table("direct_domains")
    rows.reverse()
    rows[1].name = "renamed.example"
    new = Row(draft.section("direct_domains"), "new.example")
    new.set(new.section.option("hosts"), "192.0.2.1")
    rows.insert(0, new)
    del draft.table("replacements")[0]
    config = parse(written(draft, path), path)
    assert [each.name for each in config.direct_domains] == ["new.example", ".example.com", "renamed.example"]
    assert config.direct_domains[2].hosts[0].password == "topsecret"
    assert config.replacements == ()


# Where a domain is no name of a row.
NAMES = {
    "account_limits": "joe@new.example",
    "milters": "rspamd",
    "approvals": "bills",
    "filter_rules": "alpha",
    "groups": "team@new.example",
}


@pytest.mark.parametrize(
    ("section", "option"), OPTIONS, ids=lambda each: getattr(each, "name", getattr(each, "attribute", ""))
)
def test_every_option_can_be_written(section: object, option: object, tmp_path: Path) -> None:
    path = made(tmp_path)
    draft = ConfigDraft(CONFIG)
    rows = draft.table(section.attribute)  # type: ignore[attr-defined]
    if not rows:
        rows.append(Row(section, NAMES.get(section.attribute, "new.example")))  # type: ignore[arg-type,attr-defined]
    kind = option.kind  # type: ignore[attr-defined]
    others = [word for word in kind.choices if word != rows[0].text(option)]  # type: ignore[arg-type]
    text = others[0] if others else kind.example
    rows[0].set(option, file_text(kind, text))  # type: ignore[arg-type]
    after = ConfigDraft(written(draft, path))
    assert shown_text(kind, after.table(section.attribute)[0].text(option)) == shown_text(kind, text)  # type: ignore


def test_reset_is_for_the_sections_named() -> None:
    draft = ConfigDraft(CONFIG)
    set_option(draft, "basic", "max_recipients", "7")
    set_option(draft, "remote", "relay_port", "26")
    draft.reset("basic")
    assert not draft.changed("basic")
    assert draft.changed("remote")


class TestRebase:
    theirs = CONFIG.replace("max_recipients = 100", "max_recipients = 150").replace(
        "[direct .example.com]", "[direct extra.example]\nhosts = 192.0.2.9\n\n[direct .example.com]"
    )

    def test_both_sides_are_kept(self) -> None:
        draft = ConfigDraft(CONFIG)
        set_option(draft, "basic", "queue_lifetime", "5d")
        set_option(draft, "direct_domains", "open", "yes", 1)
        mine = draft.rebase(self.theirs)
        basic = mine.single("basic")
        assert basic.text(basic.section.option("max_recipients")) == "150"
        assert basic.text(basic.section.option("queue_lifetime")) == "5d"
        names = {row.name: row for row in mine.table("direct_domains")}
        assert set(names) == {"example.net", ".example.com", "extra.example"}
        assert names[".example.com"].values["open"] == "yes"

    def test_a_row_that_was_deleted_here_stays_deleted(self) -> None:
        draft = ConfigDraft(CONFIG)
        del draft.table("direct_domains")[0]
        assert [row.name for row in draft.rebase(self.theirs).table("direct_domains")] == [
            ".example.com",
            "extra.example",
        ]

    def test_a_row_that_was_changed_here_and_deleted_there_comes_back(self) -> None:
        draft = ConfigDraft(CONFIG)
        set_option(draft, "replacements", "local", "yes")
        without = CONFIG[: CONFIG.index("[replace")]
        mine = draft.rebase(without)
        assert [row.values["local"] for row in mine.table("replacements")] == ["yes"]

    def test_nothing_changed_here_means_theirs(self) -> None:
        mine = ConfigDraft(CONFIG).rebase(self.theirs)
        assert not mine.changed()


def test_a_broken_value_is_shown_as_it_stands(tmp_path: Path) -> None:
    draft = ConfigDraft(CONFIG.replace("max_recipients = 100", "max_recipients = many"))
    row = draft.single("basic")
    assert row.text(row.section.option("max_recipients")) == "many"
    assert not draft.changed()
