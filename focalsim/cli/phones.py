"""``focalsim phones``: the camera profiles."""

from __future__ import annotations

import click

from focalsim.camera import (
    Effects,
    PhoneProfile,
    is_effects_file,
    list_effects,
    list_profiles,
    load_effects,
    load_profile,
)


@click.group(invoke_without_command=True)
@click.pass_context
def phones(ctx: click.Context) -> None:
    """List, show and check phone profiles. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@phones.command("list")
def list_() -> None:
    """Names of the profiles that come with focalsim.

    \b
    focalsim phones list
    """
    for name in list_profiles():
        click.echo(f"{name:<16}{load_profile(name).display_name}")


@phones.command()
@click.argument("name", metavar="NAME|FILE")
def show(name: str) -> None:
    """Every number of a profile, or of a set of effects by its name, with its unit and its source.

    \b
    focalsim phones show pixel4
    focalsim phones show typical
    """
    if name in list_effects():
        _print_rows(load_effects(name))
    else:
        _print(load_profile(name))


@phones.command()
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Check a profile or a file of effects of your own; says what is wrong with it, or nothing but its name.

    \b
    focalsim phones check myphone.toml
    """
    if not file.endswith(".toml"):
        raise click.BadParameter(f"{file!r} does not end in .toml", param_hint="FILE")
    if is_effects_file(file):
        names = [name for name in load_effects(file).to_dict() if name != "sources"]
        click.echo(f"{file}: ok, {', '.join(names) or 'no effects'}")
    else:
        click.echo(f"{file}: ok, {load_profile(file).name}")


def _print(profile: PhoneProfile) -> None:
    click.echo(f"{profile.name}: {profile.display_name}\n")
    _print_rows(profile)
    if profile.notes.strip():
        click.echo(f"\n{profile.notes.strip()}")


def _print_rows(described: PhoneProfile | Effects) -> None:
    for key, value, source in described.describe():
        click.echo(f"  {key:<28}{value:>14}   {source}")
