"""Train, measure and use a network on the bundle of the second example: python examples/04_train_a_network.py [OUT]

Two steps, to show the way; ``dffnet train --max-time 8h`` on many scenes for a network that is worth something.
"""

import sys
from pathlib import Path

import cv2

import focalsim
from dffnet import cli


def main(out: Path) -> None:
    bundle, run = str(out / "02_bundle"), out / "04_run"
    small = ["--crop", "64", "--batch-size", "1", "--max-steps", "2", "--workers", "0", "--overwrite"]
    cli.main(["train", bundle, "--out", str(run), *small], standalone_mode=False)
    cli.main(["eval", str(run / "model.pt"), bundle, "--workers", "0"], standalone_mode=False)

    # A stack of photos: here the slices of a sample, written as a phone's photos would be.
    with focalsim.ShardReader(out / "02_bundle" / "shard-00000.h5") as shard:
        sample = shard[1]
    photos = out / "04_photos"
    photos.mkdir(exist_ok=True)
    for n, (image, distance_m) in enumerate(zip(sample.images, sample.focus_distance_m, strict=True)):
        cv2.imwrite(str(photos / f"photo{n}_{distance_m:.4f}.png"), image[..., ::-1])
    depth = out / "04_depth"
    options = ["--focal-length", str(sample.focal_length_m), "--out", str(depth), "--overwrite"]
    cli.main(["predict", str(run / "model.pt"), str(photos), *options], standalone_mode=False)
    print(f"look at {depth / 'depth_color.png'}")


# The guard matters where worker processes are started: they import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_out"))
