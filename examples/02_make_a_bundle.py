"""Make a bundle and read it back: python examples/02_make_a_bundle.py [OUT]

As ``focalsim render`` does it, with two phones and what a phone adds after the lens; then what is in it.
"""

import sys
from pathlib import Path

import focalsim
from focalsim import cli


def main(out: Path) -> None:
    out = out / "02_bundle"
    options = "--samples 4 --size 176x112 --slices 5 --phone pixel4 --phone pixel6 --effects typical --overwrite"
    cli.main(["render", *options.split(), "--out", str(out)], standalone_mode=False)

    for path in focalsim.shard_paths([out]):
        with focalsim.ShardReader(path) as shard:
            print(f"{path.name}: {len(shard)} samples, license {shard.license}")
            for sample in shard:
                near, far = sample.depth_m[sample.valid].min(), sample.depth_m[sample.valid].max()
                growth = 100 * (sample.magnification[-1] / sample.magnification[0] - 1)
                print(f"  {sample.phone}: depth {near:.2f} to {far:.2f} m, breathing {growth:.1f} %")


# The guard matters where worker processes are started: they import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_out"))
