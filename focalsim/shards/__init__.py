"""Shards, the HDF5 files that hold samples, and the bundle (folder and manifest) that holds shards."""

from focalsim.shards.reader import ShardReader
from focalsim.shards.writer import ShardWriter

__all__ = ["ShardReader", "ShardWriter"]
