"""Shards, the HDF5 files that hold samples, and the bundle (folder and manifest) that holds shards."""

from focalsim.shards.inspect import describe_bundle, describe_shard
from focalsim.shards.manifest import Manifest, ShardEntry, plan_shards, read_manifest, shard_paths
from focalsim.shards.reader import ShardReader
from focalsim.shards.verify import find_entry, verify_bundle, verify_shard
from focalsim.shards.writer import ShardWriter

__all__ = [
    "Manifest",
    "ShardEntry",
    "ShardReader",
    "ShardWriter",
    "describe_bundle",
    "describe_shard",
    "find_entry",
    "plan_shards",
    "read_manifest",
    "shard_paths",
    "verify_bundle",
    "verify_shard",
]
