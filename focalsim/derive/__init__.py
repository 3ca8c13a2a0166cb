"""Bundles made of the shards and samples of others: split, merge, subset. Pixels are copied as they are stored.

inputs.py reads bundles that are whole; split.py, subset.py and merge.py choose samples; assemble.py writes shards of
them and a manifest that says where they come from, with copying.py for shards that are taken whole; place.py makes the
output appear whole or not at all. gather.py makes one bundle of what tasks rendered into folders of their own.
"""

from focalsim.derive.gather import gather_parts, holds_parts
from focalsim.derive.merge import merge_bundles
from focalsim.derive.split import split_bundle
from focalsim.derive.subset import subset_bundle

__all__ = ["gather_parts", "holds_parts", "merge_bundles", "split_bundle", "subset_bundle"]
