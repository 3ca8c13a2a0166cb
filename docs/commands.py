"""A page for every command, from its --help: ``make docs`` writes docs/commands/, a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

import dffnet.cli
import focalsim.cli

FOLDER = Path(__file__).resolve().parent / "commands"
PROGRAMS = {"focalsim": focalsim.cli.main, "dffnet": dffnet.cli.main}
WIDTH = 100


def pages() -> dict[str, str]:
    """File name -> text of every page, ``README.md`` with the list of all among them."""
    texts, index = {}, []
    for program, main in PROGRAMS.items():
        for name, command, help_text in _commands(program, main):
            file = f"{name.replace(' ', '-')}.md"
            texts[file] = f"# {name}\n\n```text\n{help_text}\n```\n"
            index.append(f"| [`{name}`]({file}) | {command.get_short_help_str(limit=WIDTH)} |")
    head = "# Commands\n\nWritten by `make docs` from what `--help` says.\n\n| command | |\n|---|---|\n"
    return texts | {"README.md": head + "\n".join(index) + "\n"}


def _commands(
    name: str, command: click.Command, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command, str]]:
    """Name, command and help of a command and of all below it."""
    short = name.split()[-1]
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=short, parent=parent, **{**command.context_settings, **width})
    yield name, command, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            yield from _commands(f"{name} {child}", below, context)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    texts = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for file, text in texts.items():
        (FOLDER / file).write_text(text, encoding="utf-8")
    print(f"{len(texts)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
