"""``ashare completion``: the script a shell wants, and what is completed beside commands and options."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_ASHARE_COMPLETE"
"""Set by the script while the shell asks; click's own name for ``ashare``."""
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash add to ~/.bashrc: eval "$(ashare completion bash)"; for zsh the same with zsh in ~/.zshrc; for fish:
    ashare completion fish > ~/.config/fish/completions/ashare.fish
    """
    from click.shell_completion import get_completion_class

    from engine.cli.main import ashare

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ashare, {}, "ashare", VARIABLE).source())


class Names(click.ParamType):
    """A parameter whose values are the names of things in the home.

    Parameters
    ----------
    list_them : callable
        Returns the names.
    """

    name = "name"

    def __init__(self, list_them: Callable[[], Iterable[str]]) -> None:
        self._list = list_them

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so; paths where a path is being typed."""
        from click.shell_completion import CompletionItem

        if os.sep in incomplete:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(name) for name in self._list() if name.startswith(incomplete)]


class Scripts(click.ParamType):
    """A strategy file: Python files, or where there is none of them whatever path is typed."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the Python files that begin so."""
        from click.shell_completion import CompletionItem

        found = sorted(glob.glob(f"{glob.escape(incomplete)}*.py"))
        return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="file")]


def _named(folder: str, file: str) -> Callable[[], list[str]]:
    """Return what lists the folders below one of the home that hold a file, newest name first."""

    def names() -> list[str]:
        from engine.errors import SettingsError
        from engine.settings import home_folder

        try:
            found = (home_folder() / folder).glob(f"[!.]*/{file}")
            return sorted((path.parent.name for path in found), reverse=True)
        except (OSError, SettingsError):
            return []

    return names


_RUN, _MODEL = Names(_named("runs", "manifest.json")), Names(_named("models", "manifest.json"))
_ACCOUNT, _SCRIPT = Names(_named("paper", "journal.jsonl")), Scripts()
COMPLETED: dict[str, dict[str, click.ParamType]] = {
    "backtest": {"strategy": _SCRIPT},
    "audit-design": {"strategy": _SCRIPT},
    "why": {"folder": _RUN},
    "report": {"folder": _RUN},
    "compare": {"one": _RUN, "other": _RUN},
    "reproduce": {"folder": _RUN},
    "train": {"run": _RUN},
    "models show": {"model": _MODEL},
    "models promote": {"model": _MODEL},
    "models export": {"model": _MODEL},
    "prove lookahead": {"strategies": _SCRIPT},
    "prove parity": {"strategies": _SCRIPT},
    "paper init": {"script": _SCRIPT},
    **{
        f"paper {action}": {"name": _ACCOUNT}
        for action in ("run", "serve", "status", "tickets", "fills", "check", "halt", "resume")
    },
}
"""What is completed, by command and parameter."""


def prepare(group: click.Group, words: Sequence[str]) -> None:
    """Let the parameters of the command that is being typed complete what they mean.

    The commands themselves check their arguments as ever: this is for a process that only completes.
    """
    named = [word for word in words if not word.startswith("-")]
    for path in (" ".join(named[:2]), " ".join(named[:1])):
        if path in COMPLETED:
            command = _command(group, path.split())
            for parameter in command.params if command else ():
                parameter.type = COMPLETED[path].get(parameter.name or "", parameter.type)
            return


def _command(group: click.Group, words: Sequence[str]) -> click.Command | None:
    command: click.Command | None = group
    for word in words:
        if not isinstance(command, click.Group):
            return None
        command = command.get_command(click.Context(command), word)
    return command


def words_typed() -> list[str]:
    """Return the words of the line after the program's name, as the three shells hand them over."""
    return os.environ.get("COMP_WORDS", "").split()[1:]
