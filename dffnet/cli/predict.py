"""``dffnet predict``: depth of a folder of photos."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dffnet.cli.options import PATH, Distances, checkpoint_arg, overwrite_opt, refuse_existing
from dffnet.config import ALIGNMENTS
from focalsim.cli.group import tell, tell_done

_OUTPUTS = ("depth.npy", "depth.png", "depth_color.png", "confidence.npy", "confidence.png", "all_in_focus.png")


@click.command("predict")
@checkpoint_arg
@click.argument("folder", type=PATH, metavar="FOLDER")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder for depth and confidence.")
@click.option("--focus-distances", type=Distances(), help="Metres, one a photo in the order of the file names.")
@click.option("--focal-length", type=float, metavar="M", help="Focal length in metres, to undo breathing.")
@click.option("--align", type=click.Choice(ALIGNMENTS), help="Undo breathing. [default: as the checkpoint was trained]")
@click.option("--max-size", type=click.IntRange(min=32), default=1024, show_default=True, help="Longer side, px.")
@click.option("--tile", type=click.IntRange(min=256), default=512, show_default=True, help="Side of tiles, px.")
@click.option("--aligned-out", type=PATH, metavar="DIR", help="Folder for the aligned photos and an animation of them.")
@overwrite_opt
def command(
    checkpoint: Path,
    folder: Path,
    out: Path,
    focus_distances: tuple[float, ...] | None,
    focal_length: float | None,
    align: str | None,
    max_size: int,
    tile: int,
    aligned_out: Path | None,
    overwrite: bool,
) -> None:
    """Find the depth of a focal stack of photos, as the photo of nearest focus sees it.

    Focus distances come from --focus-distances, from focus_distance.txt in FOLDER (a number a line; beside it
    may lie focal_length.txt), or from names that end in metres, as _0.25.jpg. Larger photos are reduced to --max-size.
    Networks take photos larger than --tile in overlapping tiles, to save memory.

    With a focal length, the change of image scale with focus is undone as a thin lens has it; without one, or
    with --align none, photos are taken as aligned. A model that aligns does the rest.

    \b
    depth.npy         metres, float32
    depth.png         millimetres, 16 bit
    depth_color.png   a picture with a scale
    confidence.npy    0 to 1; confidence.png 0 to 255
    all_in_focus.png  the photos merged, each where it is sharp

    \b
    dffnet predict run/model.pt photos/ --focus-distances 1,0.5,0.25 --out depth/
    dffnet predict classical photos/ --out depth/
    """
    refuse_existing(out, _OUTPUTS, overwrite)
    if aligned_out is not None:
        refuse_existing(aligned_out, ("aligned.gif",), overwrite)

    from dffnet.data.photos import read_photos
    from dffnet.engine.predict import PNG_MAX, predict_photos, write_aligned, write_prediction
    from dffnet.engine.predictor import Predictor

    photos = read_photos(folder, focus_distances_m=focus_distances, max_size_px=max_size)
    height, width = photos.images.shape[1:3]
    if (width, height) != photos.full_size:
        tell(f"photos reduced from {photos.full_size[0]}x{photos.full_size[1]} to {width}x{height}")
    started = time.monotonic()
    predictor = Predictor(checkpoint, tile_px=tile)
    align = align or predictor.config.align
    known = focal_length if focal_length is not None else photos.focal_length_m
    if align != "none" and known is None:
        tell("no focal length known: the photos are taken as aligned")
    prediction, aligned = predict_photos(predictor, photos, focal_length_m=known if align != "none" else None)
    depth_m = prediction.depth_m
    clipped = write_prediction(out, prediction)
    if aligned_out is not None:
        write_aligned(aligned_out, photos, aligned)
    if clipped:
        share = 100 * clipped / depth_m.size
        tell(f"depth.png: {share:.3g} % of the pixels are beyond {PNG_MAX / 1000} m and clipped")
    size = sum((out / name).stat().st_size for name in _OUTPUTS)
    found = f"{width}x{height}, depth {depth_m.min():.4g} to {depth_m.max():.4g} m"
    tell_done(started, len(photos.images), "photo", "merged", found, size=size, where=out)
    click.echo(out)
