"""The help of every command: what it shows can be copied, and a list of verbs can be read."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from garcon.cli import main
from garcon.engine.__main__ import main as engine

#: Width of a terminal that is narrow, and the room that click takes off for a verb's name.
WIDTH, NAME = 80, 14


def verbs(group: click.Group, *names: str) -> dict[tuple[str, ...], click.Command]:
    """Return all commands below a group, by the words that lead to them."""
    context = click.Context(group)
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(context):
        # `garcon engine` hands its words on to a program of its own.
        command = engine if name == "engine" else group.get_command(context, name)
        found[(*names, name)] = command
        if isinstance(command, click.Group):
            found |= verbs(command, *names, name)
    return found


VERBS = verbs(main)


def examples(command: click.Command) -> list[str]:
    """Return the example commands of a command's help, without what is said beside them."""
    shown = re.sub(r"\\\n *", "", (command.epilog or "").partition("Examples:\n")[2])
    lines = [line.strip() for line in shown.splitlines()]
    return [re.split(r" {6,}", line)[0] for line in lines if line.startswith("garcon ")]


def take(command: click.Command, words: list[str]) -> None:
    """Parse a command line as the command would; fails on a word that it does not know."""
    context = command.make_context(command.name, words)
    if isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, below, more = command.resolve_command(context, rest)
        take(engine if name == "engine" else below, list(more))


@pytest.mark.parametrize("words", [one for one in VERBS if one[0] != "engine"], ids=" ".join)
def test_every_command_shows_examples_that_it_takes(words):
    """A renamed option would leave a line that cannot be copied."""
    found = examples(VERBS[words])

    assert any(words[0] == line.split()[1] for line in found)
    for line in found:
        take(main, shlex.split(line.partition(" > ")[0])[1:])


def test_the_engine_shows_examples_of_its_verbs_too():
    """The verbs of the engine are short enough to be shown with it."""
    found = examples(engine)

    assert {"stats", "prune"} <= {word for line in found for word in line.split()}
    for line in found:
        take(main, shlex.split(line)[1:])


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_list_of_verbs_is_not_cut_short(words):
    """The first sentence stands whole beside the verb, in a narrow terminal too."""
    assert not VERBS[words].get_short_help_str(WIDTH - NAME).endswith("...")


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_both_words_for_help_are_known(words):
    """`-h` works wherever `--help` does."""
    context = click.Context(VERBS[words], **VERBS[words].context_settings)

    assert ["-h", "--help"] == VERBS[words].get_help_option_names(context) or words == ("engine",)
