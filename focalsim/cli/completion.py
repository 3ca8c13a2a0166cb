"""``focalsim completion`` and ``dffnet completion``: what the shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the code that makes a shell complete commands, options and choices.

    \b
    bash   eval "$(focalsim completion bash)"           in ~/.bashrc
    zsh    eval "$(focalsim completion zsh)"            in ~/.zshrc, below compinit
    fish   focalsim completion fish > ~/.config/fish/completions/focalsim.fish

    The same for dffnet.
    """
    root = ctx.find_root().command
    program = str(root.name)
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, program, f"_{program.upper()}_COMPLETE").source())
