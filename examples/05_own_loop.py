"""The shards in a training loop of your own, without dffnet: python examples/05_own_loop.py [OUT]

A shard is a sequence; ``torch.utils.data`` needs no more. Uses the bundle of the second example.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import focalsim


class Stacks(Dataset):
    """Images (S, 3, H, W) in [0, 1], focus positions (S,) and depth (H, W) in dioptres, and where depth is known."""

    def __init__(self, bundle):
        self.shards = [focalsim.ShardReader(path) for path in focalsim.shard_paths([bundle])]
        self.places = [(k, i) for k, shard in enumerate(self.shards) for i in range(len(shard))]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        k, i = self.places[index]
        sample = self.shards[k][i]
        valid = torch.from_numpy(sample.valid.copy())
        depth_m = torch.from_numpy(sample.depth_m.copy())
        return (
            torch.from_numpy(sample.images.copy()).permute(0, 3, 1, 2) / 255,
            1 / torch.from_numpy(sample.focus_distance_m.copy()),
            torch.where(valid, 1 / depth_m.clamp(min=1e-3), 0),
            valid,
        )


def main(out: Path) -> None:
    torch.manual_seed(0)
    scale = torch.nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.Adam([scale], lr=0.5)
    for images, positions, depth, valid in DataLoader(Stacks(out / "02_bundle"), batch_size=2):
        # The sharper a slice is at a pixel, the more it weighs; one number is learned: how much more.
        detail = (
            (images - torch.nn.functional.avg_pool2d(images.flatten(0, 1), 5, 1, 2).view_as(images)).abs().mean(dim=2)
        )
        weights = (scale.exp() * 20 * detail).softmax(dim=1)
        estimate = (weights * positions[:, :, None, None]).sum(dim=1)
        loss = (estimate - depth).abs()[valid].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"mean error {loss.item():.2f} dioptres at a sharpness of {scale.exp().item():.2f}")


# The guard matters where worker processes are started: they import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example_out"))
