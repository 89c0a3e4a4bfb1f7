"""The completion of the command line for bash, made from the parsers themselves: python -m smtpd_classic.completion."""

import argparse
import shlex
from collections.abc import Iterator

from smtpd_classic.cli import whole_parser
from smtpd_classic.config.schema import SECTIONS

__all__ = ["script"]

_HEAD = r"""# bash completion for smtpd-classic, made by python -m smtpd_classic.completion from its parsers.
# Each word of a command leads to the next; then options, choices, and files where a name of one is wanted.

_smtpd_classic() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local path=smtpd-classic word skip='' number number_of_path=0
    COMPREPLY=()
    for ((number = 1; number < COMP_CWORD; number++)); do
        word=${COMP_WORDS[number]}
        if [[ -n $skip ]]; then
            skip=
        elif [[ $word == --config ]]; then
            skip=yes
        elif [[ $word != -* && -n ${_smtpd_classic_words[$path $word]+there} ]]; then
            path="$path $word"
            number_of_path=$number
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
    [[ $current == -* ]] || _smtpd_classic_names
    [[ -n ${COMPREPLY[*]} || -z ${_smtpd_classic_folders[$path]-} ]] ||
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

# Names that the configuration and the accounts know: sections, options and addresses. One with blanks is quoted.
_smtpd_classic_names() {
    local name names=() IFS=$'\n' first=${COMP_WORDS[number_of_path + 1]-} typed
    first=${first//[\"\'\\]/}
    typed=${current//[\"\'\\]/}
    case $path in
        *" config "get | *" config "set | *" config "unset | *" config "delete | *" config "move | *" config "rename)
            if ((COMP_CWORD == number_of_path + 1)); then
                mapfile -t names < <(smtpd-classic config get 2>/dev/null | sed -n 's/^\[\(.*\)\]$/\1/p')
                # shellcheck disable=SC2206
                [[ ! $path =~ (get|set|unset)$ ]] || names+=(${_smtpd_classic_options[sections]})
            elif ((COMP_CWORD == number_of_path + 2)); then
                # shellcheck disable=SC2206
                [[ ! $path =~ (get|set|unset)$ ]] || names=(${_smtpd_classic_options[${first%% *}]-})
            fi ;;
        *" user "show | *" user "password | *" user "name | *" user "status | *" user "quota | *" user "forward | \
            *" user "may-send-as | *" user "delete)
            mapfile -t names < <(smtpd-classic user list 2>/dev/null | cut -d ' ' -f 1) ;;
    esac
    for name in $(printf '%s\n' "${names[@]}" | sort -u); do
        [[ $name != "$typed"* ]] || COMPREPLY+=("$(printf %q "$name")")
    done
}

# The words that may come behind each row of words; behind an option, its values.
declare -gA _smtpd_classic_words=(
"""
_MIDDLE = """\
)
# The options of each kind of section.
declare -gA _smtpd_classic_options=(
@OPTIONS@)
declare -gA _smtpd_classic_folders=(["smtpd-classic init"]=yes ["smtpd-classic import postfix"]=yes)

complete -F _smtpd_classic smtpd-classic
"""


def script() -> str:
    rows = "".join(
        f"    [{shlex.quote(path)}]='{' '.join(words)}'\n" for path, words in _rows("smtpd-classic", whole_parser())
    )
    return _HEAD + rows + _MIDDLE.replace("@OPTIONS@", "".join(_options()))


def _options() -> Iterator[str]:
    """Yield the rows of the options, one a kind of section, and the sections that are no tables."""
    single = [section.word for section in SECTIONS if not section.is_table]
    yield f"    [sections]='{_lines(single)}'\n"
    for section in SECTIONS:
        yield f"    [{section.word}]='{_lines([option.name for option in section.options()])}'\n"


def _lines(words: list[str]) -> str:
    return "\n".join(words)


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
