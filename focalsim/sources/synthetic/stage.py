"""The stage on which a scene is composed: the view, its bounds, the objects and materials drawn so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from focalsim.sources.base import FrameRequest
from focalsim.sources.synthetic import primitives as prim
from focalsim.sources.synthetic.materials import MATERIAL_DTYPE, Palette, draw_material
from focalsim.sources.synthetic.meshes import Mesh
from focalsim.sources.synthetic.primitives import Solid
from focalsim.sources.synthetic.shapes import random_mesh
from focalsim.sources.synthetic.walls import Backdrop, backdrop_hit, pack_backdrop

Vector = NDArray[np.float64]

# Depths reach a little beyond the focus range, as they do in front of a phone.
NEAR_MARGIN, FAR_MARGIN = 0.9, 1.3
# Solids thinner than a pixel could slip between the rays that look for silhouettes.
MIN_THICKNESS_PX = 1.3


@dataclass(frozen=True, slots=True)
class View:
    """The camera and the range of inverse depth w = 1/z (1/m) in which a scene is laid out.

    w_far, w_near   the focus range: content is drawn uniformly between them
    w_low, w_high   the bounds that nothing exceeds
    half_u, half_v  the image spans |u| <= half_u, |v| <= half_v, u = X/Z and v = Y/Z
    """

    focal_px: float
    half_u: float
    half_v: float
    w_far: float
    w_near: float

    @classmethod
    def of_request(cls, request: FrameRequest, width: int, height: int) -> View:
        focal_px = request.focal_over_width * width
        return cls(focal_px, 0.5 * width / focal_px, 0.5 * height / focal_px, 1 / request.far_m, 1 / request.near_m)

    @property
    def w_low(self) -> float:
        return self.w_far / FAR_MARGIN

    @property
    def w_high(self) -> float:
        return self.w_near / NEAR_MARGIN

    def w(self, share: float) -> float:
        """Inverse depth at a share of the focus range, 0 = far, 1 = near."""
        return self.w_far + share * (self.w_near - self.w_far)

    def metres_per_pixel(self, w: float) -> float:
        return 1.0 / (w * self.focal_px)


class Stage:
    """Collects what a composition rule draws. Sizes are asked for as shares of the image's width."""

    def __init__(self, rng: np.random.Generator, view: View, photos: int = 0) -> None:
        self.rng, self.view, self._photos = rng, view, photos
        self.palette = Palette.draw(rng)
        self.solids: list[Solid] = []
        self._materials: list[NDArray[np.void]] = []
        # In some scenes things share materials, down to one for all: then only blur tells them apart.
        self._reuse = float(rng.choice([0.0, 0.3, 0.8, 1.0], p=[0.4, 0.3, 0.2, 0.1]))
        self.meshes: list[Mesh] = []
        self._different_meshes = int(rng.integers(2, 9))
        self._groups = 0

    def set_backdrop(self, backdrop: Backdrop) -> None:
        """Close the stage; things are placed before it."""
        self.backdrop_table = pack_backdrop(backdrop)

    @property
    def materials(self) -> NDArray[np.void]:
        return np.array(self._materials, MATERIAL_DTYPE)

    def material(self, w: float) -> int:
        """Index of a new or reused material for something at inverse depth ``w``."""
        if self._materials and self.rng.uniform() < self._reuse:
            return int(self.rng.integers(len(self._materials)))
        pixel_m = self.view.metres_per_pixel(w)
        self._materials.append(draw_material(self.rng, self.palette, pixel_m, self._photos))
        return len(self._materials) - 1

    def mesh(self) -> int:
        """Index of a new mesh, or of one drawn before once the scene has its share of different ones."""
        if len(self.meshes) == self._different_meshes:
            return int(self.rng.integers(len(self.meshes)))
        self.meshes.append(random_mesh(self.rng))
        return len(self.meshes) - 1

    def new_group(self) -> int:
        self._groups += 1
        return self._groups

    def spot(self, low: float = 0.0, high: float = 1.0) -> tuple[float, float, float]:
        """A random place (u, v, w) in front of the backdrop, w uniform between shares of the range."""
        u = self.view.half_u * self.rng.uniform(-1.05, 1.05)
        v = self.view.half_v * self.rng.uniform(-1.05, 1.05)
        wall = self.wall_w(u, v)
        w_low = max(self.view.w(low), wall)
        return u, v, w_low + self.rng.uniform() * max(self.view.w(high) - w_low, 0.0)

    def wall_w(self, u: float, v: float) -> float:
        """Inverse depth of the backdrop."""
        return float(backdrop_hit(self.backdrop_table[0], u, v)[0])

    def add(
        self,
        kind: int,
        centre_m: Vector,
        rotation: Vector,
        size_m: Vector,
        *,
        material: int | None = None,
        group: int | None = None,
        outline: int = prim.RECTANGLE,
        shape: tuple[float, float] = (0.0, 0.0),
        mesh: int = 0,
    ) -> None:
        """Add a solid, kept thick enough to be seen, moved out along its ray where it would come too near."""
        w = 1.0 / centre_m[2]
        thin_m = 0.5 * MIN_THICKNESS_PX * self.view.metres_per_pixel(w)
        size_m = np.maximum(size_m, thin_m)
        half_depth = float(np.abs(rotation[2]) @ size_m)
        nearest = 1.0 / self.view.w_high
        if centre_m[2] - half_depth < nearest:
            centre_m = centre_m * ((nearest + half_depth) / centre_m[2])
        self.solids.append(
            Solid(
                kind,
                centre_m,
                rotation,
                size_m,
                self.material(w) if material is None else material,
                self.new_group() if group is None else group,
                outline,
                shape,
                mesh,
            )
        )


def random_rotation(rng: np.random.Generator) -> Vector:
    """Uniform rotation matrix (unit quaternion of four normals)."""
    a, b, c, d = rng.normal(size=4)
    n = a * a + b * b + c * c + d * d
    a, b, c, d = np.array([a, b, c, d]) / np.sqrt(n)
    return np.array(
        [
            [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
        ]
    )


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
