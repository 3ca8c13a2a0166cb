"""``focalsim phones``: the camera profiles."""

from __future__ import annotations

import click

from focalsim.camera import PhoneProfile, list_profiles, load_profile


@click.group(invoke_without_command=True)
@click.pass_context
def phones(ctx: click.Context) -> None:
    """List, show and check phone profiles. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@phones.command("list")
def list_() -> None:
    """Names of the profiles that come with focalsim."""
    for name in list_profiles():
        click.echo(f"{name:<16}{load_profile(name).display_name}")


@phones.command()
@click.argument("name", metavar="NAME|FILE")
def show(name: str) -> None:
    """Every number of a profile, with its unit and its source."""
    _print(load_profile(name))


@phones.command()
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Check a profile of your own; says what is wrong with it, or nothing but its name."""
    if not file.endswith(".toml"):
        raise click.BadParameter(f"{file!r} does not end in .toml", param_hint="FILE")
    click.echo(f"{file}: ok, {load_profile(file).name}")


def _print(profile: PhoneProfile) -> None:
    click.echo(f"{profile.name}: {profile.display_name}\n")
    for key, value, source in profile.describe():
        click.echo(f"  {key:<28}{value:>14}   {source}")
    if profile.notes.strip():
        click.echo(f"\n{profile.notes.strip()}")
