"""`kucoin-sync completions`: a script for a shell that completes the commands, their options, topics and symbols."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NamedTuple

from ..topics import TABLE
from ..topics.symbols import COMMON
from .output import Output

__all__ = ["DESCRIPTION", "EXAMPLES", "SHELLS", "add_arguments", "run", "script"]

DESCRIPTION = """\
Print a script for a shell that completes commands, options, topics and symbols with the Tab key. It needs no
network."""
EXAMPLES = """\
to use it now, and in every new shell:
  bash   source <(kucoin-sync completions bash)
         kucoin-sync completions bash > ~/.local/share/bash-completion/completions/kucoin-sync
  zsh    source <(kucoin-sync completions zsh)
         kucoin-sync completions zsh > ~/.zfunc/_kucoin-sync      # a directory of $fpath
  fish   kucoin-sync completions fish | source
         kucoin-sync completions fish > ~/.config/fish/completions/kucoin-sync.fish"""

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def run(options: argparse.Namespace, output: Output) -> int:
    """Print the script for a shell."""
    text = script(options.shell)
    if output.records:
        output.record({"shell": options.shell, "script": text})
    else:
        print(text, end="")
    return 0


_PREFIXES = tuple(dict.fromkeys(row.prefix for row in TABLE))
_TOPICS = tuple(dict.fromkeys(f"{row.prefix}:" if row.argument.value else row.prefix for row in TABLE))
_SPOT, _CONTRACTS = ("BTC-USDT", "ETH-USDT", "SOL-USDT"), ("XBTUSDTM", "ETHUSDTM")
#: What an argument may be, by its name in the help.
_VALUES = {"TOPIC": _TOPICS, "WORD": _PREFIXES, "SYMBOL": COMMON}


class _Option(NamedTuple):
    names: tuple[str, ...]
    about: str
    takes_value: bool
    choices: tuple[str, ...]


class _Known(NamedTuple):
    """A command with its options, and the words that may stand alone."""

    name: str
    about: str
    options: tuple[_Option, ...]
    words: tuple[str, ...]


def script(shell: str) -> str:
    """Return a shell's completion script for the commands of the registry."""
    commands = list(_commands())
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _commands() -> Iterable[_Known]:
    from .registry import COMMANDS, parser_for  # the registry imports this module

    for command in COMMANDS:
        parser = parser_for(command.name)
        own = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices[command.name]
        options: list[_Option] = []
        words: list[str] = []
        for action in own._actions:
            choices = tuple(str(choice) for choice in action.choices or _VALUES.get(str(action.metavar), ()))
            if action.option_strings:
                about = (action.help or "").replace("%%", "%")
                options.append(_Option(tuple(action.option_strings), about, action.nargs != 0, choices))
            else:
                words += choices
        yield _Known(command.name, command.about, tuple(options), tuple(words))


def _bash(commands: list[_Known]) -> str:
    names, symbols = " ".join(command.name for command in commands), " ".join(COMMON)
    cases = "\n".join(
        f'        {command.name}) words="{" ".join([*command.words, *_names(command.options)])}" ;;'
        for command in commands
    )
    values = "\n".join(
        f'        "{command.name} {name}") words="{" ".join(option.choices)}" ;;'
        for command in commands
        for option in command.options
        if option.takes_value
        for name in option.names
    )
    return f"""\
# Completion of kucoin-sync for bash.
_kucoin_sync() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    COMPREPLY=()
    if [[ $current == : ]]; then
        before=: current=""
    fi
    if [[ $before == : ]]; then  # bash takes the colon of a topic for the end of a word
        COMPREPLY=($(compgen -W "{symbols}" -- "$current"))
        return
    fi
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{names} --help --version" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}} $before" in
{values}
        *)
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ ${{COMPREPLY[0]}} == *: ]]; then
        compopt -o nospace 2>/dev/null  # the symbol follows
    fi
}}
complete -F _kucoin_sync kucoin-sync
"""


def _zsh(commands: list[_Known]) -> str:
    described = "\n".join(f"    {_quoted(f'{command.name}:{command.about}')}" for command in commands)
    cases = "\n".join(f"    {command.name}) _arguments -s {_zsh_arguments(command)} ;;" for command in commands)
    return f"""\
#compdef kucoin-sync
# Completion of kucoin-sync for zsh.
_kucoin_sync() {{
  local -a commands=(
{described}
  )
  if ((CURRENT == 2)); then
    _describe 'command' commands
    return
  fi
  local command="${{words[2]}}"
  shift words
  ((CURRENT--))
  case "$command" in
{cases}
  esac
}}
if [[ "$funcstack[1]" = _kucoin-sync ]]; then
  _kucoin_sync "$@"
else
  compdef _kucoin_sync kucoin-sync
fi
"""


def _zsh_arguments(command: _Known) -> str:
    specs = []
    for option in command.options:
        about = option.about.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
        value = f":value:({_zsh_words(_whole(option.choices))})" if option.takes_value else ""
        specs += [_quoted(f"{name}[{about}]{value}") for name in option.names]
    if command.words:
        specs.append(_quoted(f"*:which:({_zsh_words(_whole(command.words))})"))
    return " ".join(specs)


def _zsh_words(words: Iterable[str]) -> str:
    return " ".join(words).replace(":", "\\:")


def _fish(commands: list[_Known]) -> str:
    lines = ["# Completion of kucoin-sync for fish.", "complete -c kucoin-sync -f"]
    for command in commands:
        lines.append(
            f"complete -c kucoin-sync -n __fish_use_subcommand -a {command.name} -d {_quoted(command.about, fish=True)}"
        )
        when = f"-n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"complete -c kucoin-sync {when} -a '{' '.join(_whole(command.words))}'")
        for option in command.options:
            names = " ".join(f"-{'l' if name.startswith('--') else 's'} {name.lstrip('-')}" for name in option.names)
            value = f" -x -a '{' '.join(_whole(option.choices))}'" if option.takes_value else ""
            lines.append(f"complete -c kucoin-sync {when} {names}{value} -d {_quoted(option.about, fish=True)}")
    return "\n".join(lines) + "\n"


def _whole(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return words, and topics whole: these shells end a word that is complete, so that no symbol could follow."""
    if words != _TOPICS:
        return words
    topics: list[str] = []
    for row in TABLE:
        argument = row.argument.value
        symbols = _CONTRACTS if "contract" in argument else _SPOT if "symbol" in argument else ()
        suffix = "_1min" if "type" in argument else "_5" if "depth" in argument else ""
        found = [f"{row.prefix}:{symbol}{suffix}" for symbol in symbols]
        topics += found or [row.pattern if argument in ("", "all") else f"{row.prefix}:"]
    return tuple(dict.fromkeys(topics))


def _names(options: Iterable[_Option]) -> list[str]:
    return [name for option in options for name in option.names]


def _quoted(text: str, *, fish: bool = False) -> str:
    """Return text quoted for a shell with single quotes."""
    if fish:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "'\\''") + "'"
