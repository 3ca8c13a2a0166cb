"""``focalsim calibrate``: photos at several focus distances become a phone profile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from focalsim.cli.group import tell_done
from focalsim.cli.options import PATH, parse_size

if TYPE_CHECKING:
    from focalsim.calibrate import Calibration, CaptureSet, Registration

_PATTERNS = ("circles", "chessboard", "charuco", "none")
_PRINT_DPI = 300
_POSITIVE = click.FloatRange(min=0, min_open=True)


def _optional_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    return None if value is None else parse_size(ctx, param, value)


@click.command()
@click.argument("captures", required=False, type=PATH)
@click.option("--out", type=PATH, help="Profile to write: a .toml file. The figure goes beside it as .png.")
@click.option("--make-target", type=PATH, metavar="FILE", help="Write a target to print, .png or .pdf, and stop.")
@click.option(
    "--pattern",
    type=click.Choice(_PATTERNS),
    default="circles",
    show_default=True,
    help="What the captures show; none: any still scene with texture.",
)
@click.option(
    "--board",
    callback=parse_size,
    metavar="CxR",
    default="9x6",
    show_default=True,
    help="Columns and rows of the target: dots, or squares of a chessboard or ChArUco board.",
)
@click.option(
    "--spacing-mm",
    type=_POSITIVE,
    help="Between the centres of two dots, or side of a square, as printed. [default to print: 25]",
)
@click.option("--target-distance", type=_POSITIVE, metavar="M", help="From the lens to the target, in metres.")
@click.option("--distances", type=PATH, metavar="FILE", help="CSV file with the header file,focus_distance_m.")
@click.option("--focal-length-mm", type=_POSITIVE, help="[default: EXIF]")
@click.option("--f-number", type=_POSITIVE, help="[default: EXIF]")
@click.option("--sensor-width-mm", type=_POSITIVE, help="[default: from EXIF's 35 mm focal length]")
@click.option("--sensor-size", callback=_optional_size, metavar="WxH", help="Full resolution. [default: the captures']")
@click.option("--name", help="Name of the profile. [default: that of the file]")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def calibrate(captures: Path | None, **given: Any) -> None:
    """Fit a phone profile to CAPTURES, a folder of photos at several focus distances.

    The camera and the scene must not move between the photos. Focus distances come from --distances, a
    focus_distance.txt in the folder, EXIF and XMP (SubjectDistance, lens focus in dioptres) or file names
    (shot_0.35m.jpg). Prints every capture with its state, and writes the profile and a figure.

    \b
    focalsim calibrate --make-target target.pdf
    focalsim calibrate captures/ --spacing-mm 25 --target-distance 0.35 --out myphone.toml
    focalsim calibrate focus_sweep/ --pattern none --out myphone.toml
    """
    if (captures is None) == (given["make_target"] is None):
        raise click.UsageError("give either CAPTURES or --make-target FILE")
    if captures is None:
        _make_target(given)
    else:
        _calibrate(captures, given)


def _make_target(given: dict[str, Any]) -> None:
    out = given["make_target"]
    if out.suffix.lower() not in (".png", ".pdf"):
        raise click.BadParameter(f"{str(out)!r} must end in .png or .pdf", param_hint="--make-target")
    if given["pattern"] == "none":
        raise click.UsageError("--make-target needs a --pattern")

    import io

    from PIL import Image

    from focalsim.calibrate import Target, target_image

    spacing_mm = given["spacing_mm"] or 25.0
    _refuse_to_clobber([out], given["overwrite"])
    image = target_image(Target(given["pattern"], *given["board"]), max(8, round(spacing_mm / 25.4 * _PRINT_DPI)))
    stream = io.BytesIO()
    # The resolution is stored so that a print at 100 % has the spacing that was asked for.
    Image.fromarray(image).save(stream, format=out.suffix[1:].upper(), dpi=(_PRINT_DPI,) * 2, resolution=_PRINT_DPI)
    _write(out, stream.getvalue())
    click.echo(out)


def _calibrate(folder: Path, given: dict[str, Any]) -> None:
    out = given["out"]
    if out is None:
        raise click.UsageError("--out FILE is missing")
    if out.suffix != ".toml":
        raise click.BadParameter(f"{str(out)!r} must end in .toml", param_hint="--out")
    has_target = given["pattern"] != "none"
    if given["target_distance"] and not (has_target and given["spacing_mm"]):
        raise click.UsageError("--target-distance needs a --pattern and its --spacing-mm")

    from focalsim import calibrate as cal
    from focalsim.calibrate.figure import draw_figure

    figure = out.with_suffix(".png")
    _refuse_to_clobber([out, figure], given["overwrite"])
    spacing_m = given["spacing_mm"] * 1e-3 if given["spacing_mm"] else None
    target = cal.Target(given["pattern"], *given["board"]) if has_target else None
    started = time.monotonic()
    captures = cal.read_captures(folder, given["distances"], given["focal_length_mm"])
    lens = cal.find_lens(
        captures,
        focal_length_mm=given["focal_length_mm"],
        f_number=given["f_number"],
        sensor_width_mm=given["sensor_width_mm"],
        sensor_px=given["sensor_size"],
    )
    registration = cal.register(captures, target)
    fitted = cal.fit_errors(
        captures,
        registration,
        lens,
        has_target=has_target,
        spacing_m=spacing_m,
        target_distance_m=given["target_distance"],
    )
    name = given["name"] or out.stem
    display_name = captures.exif[0].camera or name
    # What was measured is told also where it is no profile.
    _print(captures, registration, fitted)
    text = cal.profile_toml(fitted, lens, name, display_name)
    picture = draw_figure(fitted, f"{display_name}: {fitted.images} captures")
    _write(out, text.encode())
    _write(figure, picture)
    tell_done(started, len(captures.paths), "capture", "measured", size=len(text) + len(picture), where=out.parent)
    click.echo(out)
    click.echo(figure)


def _print(captures: CaptureSet, registration: Registration, fitted: Calibration) -> None:
    from focalsim.calibrate import assumptions

    click.echo(f"{'capture':<28}{'focus m':>9}{'magnific.':>11}{'fov error':>11}{'x px':>9}{'y px':>9}{'turn deg':>10}")
    for n, path in enumerate(captures.paths):
        row = f"{path.name:<28}{captures.focus_distance_m[n]:>9.4g}"
        if path.name in registration.failed:
            click.echo(f"{row}  failed: {registration.failed[path.name]}")
            continue
        x, y = fitted.principal_point_px[n]
        state = "  outlier" if fitted.outlier[n] else ""
        click.echo(
            f"{row}{fitted.magnification[n]:>11.5f}{fitted.fov_error[n]:>11.5f}{x:>9.2f}{y:>9.2f}"
            f"{registration.rotation_deg[n]:>10.3f}{state}"
        )
    for name, reason in captures.left_out.items():
        click.echo(f"{name:<28}  left out: {reason}")
    click.echo(
        f"\n{fitted.images} of {len(captures.paths) + len(captures.left_out)} captures used: "
        f"slope {fitted.slope_m:.6f} m, intercept {fitted.intercept:.6f}, std {fitted.fov_error_std:.6f}"
    )
    for line in assumptions(fitted):
        click.echo(line)


def _refuse_to_clobber(paths: list[Path], overwrite: bool) -> None:
    from focalsim.errors import OutputError

    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists; use --overwrite to replace it")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent}: no such folder")


def _write(path: Path, data: bytes) -> None:
    from focalsim.shards.files import write_bytes

    write_bytes(path, data)
