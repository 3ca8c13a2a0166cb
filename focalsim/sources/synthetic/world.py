"""A packed world: everything that the kernels read, as tables of records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.synthetic.meshes import MeshTable

LIGHT_DTYPE = np.dtype(
    [
        ("direction", "f8", (3,)),  # unit, towards the lamp
        ("lamp", "f8", (3,)),  # linear RGB of the lamp and of the surroundings
        ("ambient", "f8", (3,)),
        ("sky", "f8", (3,)),  # unit, towards the brighter side of the surroundings
        ("lamp_radius", "f8"),  # tangent of half the angle that the lamp fills
        ("shadows", "f8"),  # share of the lamp's light that solids keep off, 0..1
        ("patches", "f8"),  # strength of the light patches that something outside the frame casts, 0..1
        ("patch_size_m", "f8"),
        ("patch_edge", "f8"),  # softness of their edges
        ("seed", "i4"),
    ]
)


class World(NamedTuple):
    """One scene; compose_world makes it."""

    backdrop: NDArray[np.void]  # BACKDROP_DTYPE, one record
    solids: NDArray[np.void]  # SOLID_DTYPE
    materials: NDArray[np.void]  # MATERIAL_DTYPE
    light: NDArray[np.void]  # LIGHT_DTYPE, one record
    meshes: MeshTable
    texels: NDArray[np.float32]  # photos, see photos.pack_photos
    texel_sizes: NDArray[np.int64]
