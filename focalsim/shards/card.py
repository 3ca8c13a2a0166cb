"""What lies beside a bundle's manifest for people and programs that do not know focalsim.

``README.md`` is a dataset card, ``croissant.json`` MLCommons Croissant 1.0 metadata. Both follow from the manifest
alone, so that equal bundles have equal ones. A file of that name that is not ours is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from focalsim.camera.effects import GROUPS
from focalsim.shards.files import PARTIAL, write_bytes
from focalsim.shards.manifest import MANIFEST_NAME, Manifest
from focalsim.shards.remote import Location
from focalsim.shards.schema import DATA_SETS, SCHEMA_VERSION, demanded, markdown_table

CARD_NAME = "README.md"
CROISSANT_NAME = "croissant.json"
# What tells our files from others of the same name.
_MARKS = {CARD_NAME: "<!-- Written by focalsim with the bundle. -->", CROISSANT_NAME: '"focalsim bundle"'}

READ_EXAMPLE = """\
import h5py, numpy as np

with h5py.File("shard-00000.h5") as f:
    images, m, shift, depth_m = (f[k][0] for k in ("images", "magnification", "principal_point_px", "depth_m"))
S, H, W = images.shape[:3]
y, x = np.mgrid[:H, :W].astype(float)
aligned = np.empty_like(images)
for n in range(S):
    xn = (W - 1) / 2 + m[n] * (x - (W - 1) / 2) + shift[n, 0]
    yn = (H - 1) / 2 + m[n] * (y - (H - 1) / 2) + shift[n, 1]
    aligned[n] = images[n, np.rint(yn).clip(0, H - 1).astype(int), np.rint(xn).clip(0, W - 1).astype(int)]
"""


def write_side_files(folder: Location, manifest: Manifest) -> None:
    """Write card and Croissant metadata of a complete bundle into ``folder``. Raises OutputError."""
    for name, text in ((CARD_NAME, dataset_card(manifest)), (CROISSANT_NAME, croissant(folder, manifest))):
        if not (folder / name).exists() or is_side_file(folder / name):
            write_bytes(folder / name, text.encode("utf-8"))


def is_side_file(path: Location) -> bool:
    """Whether ``path`` is a file that :func:`write_side_files` has written, or has begun to."""
    if path.name.removesuffix(PARTIAL) not in _MARKS or not path.is_file():
        return False
    if path.name.endswith(PARTIAL):
        return True
    return _MARKS[path.name].encode() in path.read_bytes()[:4096]


def dataset_card(manifest: Manifest) -> str:
    """The bundle in Markdown: what, how much, whose, how made, how to read."""
    config = manifest.config
    phones = ", ".join(str(phone["name"]) for phone in config.phones) or "unknown"
    skipped = Counter(reason for _, reason in manifest.skipped_frames)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.made_with.items()))
    effects = effects_text(config.phones)
    effects_row = f"| after the lens | {effects} |\n" if effects else ""
    provenance = "".join(f"| {key} | {value} |\n" for key, value in provenance_rows(manifest))
    seeds = ", ".join(dict.fromkeys(str(c.seed) for c in manifest.configs))
    needed = demanded(config.to_json())
    return f"""\
# {title(manifest)}

{_MARKS[CARD_NAME]}

| | |
|---|---|
| stacks | {config.samples} of {config.slices} slices, {config.width} x {config.height} pixels |
| focus | {config.far_m:g} to {config.near_m:g} m |
| phones | {phones} |
{effects_row}| source | {config.source} ({config.source_format}) |
| frames skipped | {", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items())) or "none"} |
| **license** | {manifest.license} |
| **attribution** | {manifest.attribution} |
| seed | {seeds} |
| made with | {versions} |
| config sha256 | {config.fingerprint} |
{provenance}
Each stack shows one scene focused from far to near, as a phone delivers it: the picture's scale and place change with
the focus. Depth, its mask and the all-in-focus image have the geometry of the reference slice (attribute
`reference_slice`, the nearest). License and attribution are those of the source, and stand in every shard too.

## Files

`manifest.json` lists the shards with their sha256, and holds the whole config. `focalsim verify` checks everything.
A shard is an HDF5 file, schema version {SCHEMA_VERSION}, n samples, S slices:

{markdown_table(d for d in DATA_SETS if d.name in needed)}
## Reading a sample and aligning it

```python
{READ_EXAMPLE}```
"""


def effects_text(phones: Iterable[Mapping[str, Any]]) -> str:
    """The effects of a config's phones by name, "vignetting, noise (phone)"; empty where there are none."""
    by_names: dict[str, list[str]] = {}
    for phone in phones:
        names = ", ".join(name.replace("_", " ") for name in GROUPS if name in phone.get("effects", {}))
        by_names.setdefault(names, []).append(str(phone["name"]))
    if len(by_names) == 1:
        return next(iter(by_names))
    return "; ".join(f"{names or 'none'} ({', '.join(having)})" for names, having in by_names.items())


def provenance_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What a bundle was put together from, a row each; none for one that was rendered or imported."""
    origins = [
        f"{o.name}: seed {o.config.seed}, focalsim {o.made_with.get('focalsim', 'unknown')}, {o.license}, "
        f"manifest sha256 {o.manifest_sha256}"
        for o in manifest.origins
    ]
    return [("made by", str(step)) for step in manifest.history] + [("samples from", origin) for origin in origins]


def title(manifest: Manifest) -> str:
    """A name for the bundle."""
    return f"Focal stacks of {manifest.config.source}"


def croissant(folder: Location, manifest: Manifest) -> str:
    """Croissant 1.0 metadata (JSON-LD) of the complete bundle in ``folder``, whose manifest has been written."""
    config = manifest.config
    listing = folder / MANIFEST_NAME
    text = listing.read_bytes()
    files = [(MANIFEST_NAME, "application/json", hashlib.sha256(text).hexdigest(), len(text))]
    files += [(shard.file, "application/x-hdf5", shard.sha256, shard.bytes) for shard in manifest.shards]
    data = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": title(manifest),
        "description": (
            f"{config.samples} focal stacks of {config.slices} slices, {config.width} x {config.height} pixels, "
            f"focused from {config.far_m:g} to {config.near_m:g} m, with depth in metres, all-in-focus image, and the "
            f"magnification and shift of every slice. {CARD_NAME} describes the data sets of a shard."
        ),
        "keywords": ["focalsim bundle", "focal stack", "depth from focus"],
        "license": manifest.license,
        "creator": {"@type": "sc:Organization", "name": manifest.attribution},
        "version": f"{SCHEMA_VERSION}.0.0",
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "encodingFormat": kind,
                "sha256": sha256,
                "contentSize": f"{size} B",
            }
            for name, kind, sha256, size in files
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "shards",
                "name": "shards",
                "description": "The shards and the samples in them.",
                "key": {"@id": "shards/file"},
                "field": [
                    {"@type": "cr:Field", "@id": f"shards/{name}", "name": name, "dataType": kind}
                    for name, kind in (("file", "sc:Text"), ("first_sample", "sc:Integer"), ("samples", "sc:Integer"))
                ],
                "data": [
                    {"shards/file": s.file, "shards/first_sample": s.first_sample, "shards/samples": s.samples}
                    for s in manifest.shards
                ],
            }
        ],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


# The standard context of Croissant 1.0, which its readers expect word for word.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
