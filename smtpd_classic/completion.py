"""The completion of the command line for bash, made from the parsers themselves: python -m smtpd_classic.completion."""

import argparse
import shlex
from collections.abc import Iterator

from smtpd_classic.cli import whole_parser

__all__ = ["script"]

_HEAD = """\
# bash completion for smtpd-classic, made by python -m smtpd_classic.completion from its parsers.
# Each word of a command leads to the next; then options, choices, and files where a name of one is wanted.

_smtpd_classic() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local path=smtpd-classic word skip='' number
    COMPREPLY=()
    for ((number = 1; number < COMP_CWORD; number++)); do
        word=${COMP_WORDS[number]}
        if [[ -n $skip ]]; then
            skip=
        elif [[ $word == --config ]]; then
            skip=yes
        elif [[ $word != -* && -n ${_smtpd_classic_words[$path $word]+there} ]]; then
            path="$path $word"
        fi
    done
    case $before in
        --config) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
    if [[ -n ${_smtpd_classic_words[$path $before]-} && $before == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${_smtpd_classic_words[$path $before]}" -- "$current")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "${_smtpd_classic_words[$path]-}" -- "$current")
    [[ -n ${COMPREPLY[*]} || -z ${_smtpd_classic_folders[$path]-} ]] ||
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

# What may come behind each row of words; behind an option, its values.
declare -gA _smtpd_classic_words=(
"""
_MIDDLE = """\
)
declare -gA _smtpd_classic_folders=(["smtpd-classic init"]=yes)

complete -F _smtpd_classic smtpd-classic
"""


def script() -> str:
    rows = "".join(
        f"    [{shlex.quote(path)}]='{' '.join(words)}'\n" for path, words in _rows("smtpd-classic", whole_parser())
    )
    return _HEAD + rows + _MIDDLE


def _rows(path: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Each row of words from `path` on, with what may come behind it."""
    commands: dict[str, argparse.ArgumentParser] = {}
    following: list[str] = []
    values: list[tuple[str, list[str]]] = []
    for action in parser._actions:  # noqa: SLF001  argparse has no other way to ask
        choices = [str(choice) for choice in action.choices or ()]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            commands = dict(action.choices)
        following += [word for word in action.option_strings if word != "-h"] or choices
        values += [(f"{path} {option}", choices) for option in action.option_strings if choices]
    yield path, following
    yield from values
    for name, command in commands.items():
        yield from _rows(f"{path} {name}", command)


if __name__ == "__main__":
    print(script(), end="")  # noqa: T201
