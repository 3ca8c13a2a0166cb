"""Bundles made of the samples of other bundles: split, merge, subset. Pixels are copied as they are stored.

inputs      bundles that are whole, and their samples
choose      which samples go where
assemble    shards of the chosen samples, and a manifest that says where they come from
place       a folder that appears whole or not at all
parts       shards that several tasks rendered into one folder
"""

from focalsim.derive.merge import merge_bundles
from focalsim.derive.split import split_bundle
from focalsim.derive.subset import subset_bundle

__all__ = ["merge_bundles", "split_bundle", "subset_bundle"]
