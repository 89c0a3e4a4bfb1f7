"""`smtpd-classic config`: look at the configuration file and change it, as the screens do."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from smtpd_classic.accounts import Accounts
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.commands.file_versions import print_versions
from smtpd_classic.config import ConfigProblems, Problem, parse
from smtpd_classic.config.editing import ChangedMeanwhile, Edited, LockHeld, restore, versions
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS
from smtpd_classic.config.titles import titled_option, titled_section

__all__ = ["HELP", "add_arguments", "address_problems", "run"]

HELP = "show or change the configuration file"
_SECTION = "the section as between its brackets: basic, or “listener smtp” as one word"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_views(actions)
    _add_changes(actions)


def _add_views(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    get = actions.add_parser("get", help="an option, a section, or all that the file sets")
    get.add_argument("section", nargs="?", metavar="SECTION", help=_SECTION)
    get.add_argument("option", nargs="?", metavar="OPTION")
    diff = actions.add_parser("diff", help="the options that differ from the defaults")
    for view in (get, diff):
        view.add_argument("--json", action="store_true", help="print JSON")
        view.add_argument("--show-secrets", action="store_true", help="do not mask passwords")
    listing = actions.add_parser("versions", help="the versions that were in force before")
    listing.add_argument("--json", action="store_true", help="print JSON")


def _add_changes(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    setting = actions.add_parser("set", help="set an option; a section that is not there is added")
    setting.add_argument("section", metavar="SECTION", help=_SECTION)
    setting.add_argument("option", metavar="OPTION")
    setting.add_argument("value", nargs="*", metavar="VALUE", help="the value; several are the items of a list")
    setting.add_argument("--stdin", action="store_true", help="read the value from standard input, for passwords")
    unset = actions.add_parser("unset", help="take an option out, back to its default")
    unset.add_argument("section", metavar="SECTION", help=_SECTION)
    unset.add_argument("option", metavar="OPTION")
    delete = actions.add_parser("delete", help="delete a section with all its options")
    delete.add_argument("section", metavar="SECTION", help=_SECTION)
    move = actions.add_parser("move", help="move a section up or down among its kind")
    move.add_argument("section", metavar="SECTION", help=_SECTION)
    move.add_argument("direction", choices=("up", "down"))
    rename = actions.add_parser("rename", help="give a section another name")
    rename.add_argument("section", metavar="SECTION", help=_SECTION)
    rename.add_argument("new", metavar="NEW", help="the new title, such as “direct example.net”")
    back = actions.add_parser("restore", help="put a version back into force")
    back.add_argument("version", metavar="VERSION", help="its name as “config versions” prints it")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _refusing(args))


def _refusing(args: argparse.Namespace) -> int:
    try:
        return _ACTIONS[args.action](args)
    except LockHeld as held:
        raise Refused(str(held), os.EX_TEMPFAIL) from None
    except ChangedMeanwhile as changed:
        raise Refused(str(changed), os.EX_TEMPFAIL) from None
    except ValueError as wrong:
        raise Refused(str(wrong), os.EX_DATAERR) from None


class OptionValue(NamedTuple):
    title: str
    option: Option
    text: str


def _get(args: argparse.Namespace) -> int:
    edited = Edited(args.config)
    if args.section is not None and titled_section(args.section).is_table and not edited.has(args.section):
        raise ValueError(f"the file has no section [{args.section}].")
    if args.option is not None:
        option = titled_option(args.section, args.option)
        _show([OptionValue(args.section, option, edited.text(args.section, args.option))], args, single=True)
    elif args.section is not None:
        options = titled_section(args.section).options()
        _show([OptionValue(args.section, each, edited.text(args.section, each.name)) for each in options], args)
    else:
        _show([each for each in _settings(edited) if edited.is_set(each.title, each.option.name)], args)
    return os.EX_OK


def _diff(args: argparse.Namespace) -> int:
    _show([setting for setting in _settings(Edited(args.config)) if _differs(setting)], args)
    return os.EX_OK


def _settings(edited: Edited) -> Iterator[OptionValue]:
    """Every option of every section of the file, defaults filled in, in the order of the manual."""
    for section in SECTIONS:
        titles = edited.titles(section.word) if section.is_table else (section.word,)
        for title in titles:
            for option in section.options():
                yield OptionValue(title, option, edited.text(title, option.name))


def _differs(setting: OptionValue) -> bool:
    kind = setting.option.kind
    try:
        return setting.option.required or kind.parse(setting.text) != setting.option.default
    except ValueError:
        return True


def _show(settings: list[OptionValue], args: argparse.Namespace, *, single: bool = False) -> None:
    shown = [each if args.show_secrets else each._replace(text=_masked(each)) for each in settings]
    if args.json:
        rows = [
            {
                "section": each.title,
                "option": each.option.name,
                "value": each.text,
                "default": None if each.option.required else each.option.default_text,
            }
            for each in shown
        ]
        print(json.dumps(rows[0] if single else rows, indent=2, ensure_ascii=False))
        return
    if single:
        print(shown[0].text)
        return
    title = ""
    for each in shown:
        if each.title != title:
            print(f"{chr(10) if title else ''}[{each.title}]")
            title = each.title
        text = each.text if "\n" not in each.text else "\n    " + each.text.replace("\n", "\n    ")
        print(f"{each.option.name} = {text}".replace(" = \n", " =\n").rstrip(" "))


def _masked(setting: OptionValue) -> str:
    mask = setting.option.kind.mask
    return mask(setting.text) if mask else setting.text


def _versions(args: argparse.Namespace) -> int:
    return print_versions(versions(args.config), as_json=args.json)


def _set(args: argparse.Namespace) -> int:
    if args.stdin == bool(args.value):
        raise Refused("write the value behind the option, or use --stdin.", os.EX_USAGE)
    text = sys.stdin.read().removesuffix("\n") if args.stdin else "\n".join(args.value)
    broken_before = any(problem.is_error for problem in Edited(args.config).problems())
    try:
        return _changed(args, lambda edited: edited.set(args.section, args.option, text))
    except ConfigProblems as wrong:
        if broken_before:
            raise
        raise ValueError(str(wrong)) from None  # the value is at fault, and not the file


def _unset(args: argparse.Namespace) -> int:
    return _changed(args, lambda edited: edited.unset(args.section, args.option))


def _delete(args: argparse.Namespace) -> int:
    return _changed(args, lambda edited: edited.delete(args.section))


def _move(args: argparse.Namespace) -> int:
    return _changed(args, lambda edited: edited.move(args.section, -1 if args.direction == "up" else 1))


def _rename(args: argparse.Namespace) -> int:
    return _changed(args, lambda edited: edited.rename(args.section, args.new))


def _changed(args: argparse.Namespace, change: Callable[[Edited], None]) -> int:
    """Make the change, or none at all when the daemon would refuse the file."""
    edited = Edited(args.config)
    known = {problem.text for problem in edited.problems()}
    addresses = address_problems(edited)
    change(edited)
    if not edited.changed:
        print("Nothing changed.", file=sys.stderr)
        return os.EX_OK
    _refuse_bad_addresses(edited, addresses)
    print(edited.diff(), end="", file=sys.stderr)
    news = [problem for problem in edited.problems() if problem.text not in known]
    waiting = edited.restart_reasons()
    edited.apply()
    for said in (*news, *waiting):
        print(said, file=sys.stderr)
    print("It takes effect with the next reload of the server.", file=sys.stderr)
    return os.EX_OK


def _refuse_bad_addresses(edited: Edited, before: Sequence[Problem] | None) -> None:
    """Refuse addresses that the change names and that do not exist. Older problems do not count."""
    errors = [problem for problem in edited.problems() if problem.is_error]
    if not errors and before is not None:
        known = {problem.text for problem in before}
        errors = [problem for problem in address_problems(edited) or () if problem.text not in known]
    if errors:
        raise ConfigProblems(errors)


def address_problems(edited: Edited) -> Sequence[Problem] | None:
    """Return the errors of the addresses that the file names; None when it cannot be read and nothing is known."""
    try:
        found = Accounts.check(parse(edited.file_text, edited.path))
    except ConfigProblems:
        return None
    return [problem for problem in found if problem.is_error and problem.file == edited.path]


def _restore(args: argparse.Namespace) -> int:
    kept = restore(args.config, args.version)
    print(f"{args.version} is in force with the next reload; the replaced file is kept as {kept}.", file=sys.stderr)
    return os.EX_OK


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "get": _get,
    "diff": _diff,
    "versions": _versions,
    "set": _set,
    "unset": _unset,
    "delete": _delete,
    "move": _move,
    "rename": _rename,
    "restore": _restore,
}
