"""A rendering job: what every sample of a bundle is made of, decided before the first one is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from focalsim.allocator import keep_freed_memory
from focalsim.camera import PhoneProfile, StackCamera, blur_gain_px_m, draw_camera, focus_schedule_m, sensor_distance_m
from focalsim.code_cache import forgive_full_disks
from focalsim.color import linear_to_srgb
from focalsim.config import RenderConfig
from focalsim.errors import ConfigError, FocalsimError
from focalsim.rng import sample_rng
from focalsim.sample import Sample
from focalsim.sources import FrameRequest, Source
from focalsim.sources.kept import KeptScenes

if TYPE_CHECKING:
    from focalsim.sources.prepare import PreparedScene

_INTERPOLATION_PX = 8  # reach of the blur kernels and of the warp
REFERENCE_SLICE = -1  # depth and all-in-focus image have the geometry of the nearest slice


@dataclass(frozen=True, slots=True)
class Job:
    """A complete config, the source it was made for, and the frames of the source that can be used.

    Pickles, so that every worker process has its own. ``skipped`` are (source_id, reason) of the other frames.
    ``device`` is where PyTorch renders; None = compiled code on the CPU, whose bytes alone are those of bundles.
    ``kept`` is where frames that come again are kept; None = each is read when its turn comes.
    """

    config: RenderConfig
    source: Source
    usable: Sequence[int]
    skipped: tuple[tuple[str, str], ...] = ()
    summary: str = ""
    device: str | None = None
    kept: KeptScenes | None = None

    @property
    def profiles(self) -> list[PhoneProfile]:
        """The phones that samples are drawn from."""
        return [PhoneProfile(**phone) for phone in self.config.phones]

    @property
    def focus_distances_m(self) -> NDArray[np.float64]:
        """Focus distances (S,), far to near."""
        return focus_schedule_m(self.config.near_m, self.config.far_m, self.config.slices)

    def request(self, profile: PhoneProfile) -> FrameRequest:
        """What ``profile`` asks of a frame. The frame is the view of the farthest slice."""
        farthest_m = self.focus_distances_m[0]
        v_ref = float(sensor_distance_m(profile.focal_length_m, farthest_m))
        return FrameRequest(
            width=self.config.width,
            height=self.config.height,
            near_m=self.config.near_m,
            far_m=self.config.far_m,
            focal_over_width=v_ref / profile.sensor_width_m,
            margin_px=self._margin_px(profile),
        )

    def _margin_px(self, profile: PhoneProfile) -> int:
        """How far beyond the picture light comes from: by blur, by all but the rarest shifts, by interpolation."""
        v = float(sensor_distance_m(profile.focal_length_m, self.config.near_m))
        gain = float(
            blur_gain_px_m(profile.focal_length_m, profile.f_number, v, self.config.width, profile.sensor_width_m)
        )
        shift = max(
            abs(profile.principal_point_x_mean_px) + 3 * profile.principal_point_x_std_px,
            abs(profile.principal_point_y_mean_px) + 3 * profile.principal_point_y_std_px,
        )
        zoom = 3 * profile.fov_error_std * self.config.width / 2
        blur = gain / self.config.near_m / 2  # the radius of infinity's disc when focused nearest
        return ceil(blur + shift * self.config.width / profile.sensor_width_px + zoom + _INTERPOLATION_PX)


def plan_job(config: RenderConfig, source: Source, samples: int | None = None, *, again: bool = False) -> Job:
    """Survey ``source`` and complete ``config`` by what was found; ``samples`` None = every usable frame once.

    A source without end takes None as the ``samples`` of ``config``. ``again`` says that more will be rendered than
    ``samples``: frames are then kept for it, as where ``samples`` are more than there are frames.

    Raises SourceError where no frame is usable, ConfigError for phones that cannot be told apart or cannot
    focus so near.
    """
    from focalsim.sources.survey import source_digest, survey

    forgive_full_disks()
    names = [phone["name"] for phone in config.phones]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"a bundle needs phones of different names, got {', '.join(names) or 'none'}")
    draft = Job(config, source, ())
    for profile in draft.profiles:
        if profile.focal_length_m >= config.near_m:
            raise ConfigError(
                f"{profile.name} cannot focus at {config.near_m:g} m: its focal length is {profile.focal_length_m:g} m"
            )
    found = survey(
        source,
        [draft.request(profile) for profile in draft.profiles],
        max_holes=config.max_holes,
        match_fov=config.match_fov,
        limit=samples,
    )
    endless = isinstance(found.usable, range)
    config = replace(
        config,
        source=source.name,
        source_format=source.format,
        source_digest=source_digest(source, () if endless else found.usable),
        samples=samples or (config.samples if endless else len(found.usable)),
        depth_enlarged=found.depth_enlarged,
        # Scenes that are made to measure lie where they were asked to.
        depth="keep" if endless and config.depth == "auto" else config.depth,
    )
    # The messages of skipped frames may hold paths of this machine, which a manifest must not.
    skipped = tuple((name, reason) for reason, frames in found.skipped.items() for name in frames)
    kept = KeptScenes() if not endless and (again or config.samples > len(found.usable)) else None
    return Job(config, source, found.usable, skipped, found.summary(), kept=kept)


def render_sample(job: Job, index: int, images: NDArray[np.uint8] | None = None) -> Sample:
    """Sample ``index`` of the bundle; depends on nothing but ``job`` and ``index``.

    ``images`` (S, H, W, 3) is memory for its slices, which are rendered there where the phone adds nothing to them.
    Raises FocalsimError that names the sample and its frame.
    """
    frame = job.usable[index % len(job.usable)]
    try:
        return _render(job, index, frame, images)
    except FocalsimError as error:
        # Errors must cross processes, which those with arguments of their own do not.
        raise FocalsimError(f"sample {index}, frame {job.source.frame_id(frame)}: {error}") from None
    except Exception as error:
        name = job.source.frame_id(frame)
        raise RuntimeError(f"sample {index}, frame {name}: {type(error).__name__}: {error}") from error


def render_nothing(job: Job) -> None:
    """Render a white wall as the first phone sees it, so that what every scene needs is compiled or loaded."""
    from focalsim.render import render_stack

    phone = job.profiles[0]
    render_stack(
        np.ones((64, 64, 3), np.float32),
        np.full((64, 64), job.config.far_m, np.float32),
        focal_length_m=phone.focal_length_m,
        f_number=phone.f_number,
        sensor_width_m=phone.sensor_width_m,
        focus_distances_m=job.focus_distances_m,
        aperture=phone.effects.aperture,
    )


def use_one_thread() -> None:
    """Render on one thread in this process, where there is a process for each core."""
    import cv2
    import numba

    keep_freed_memory()
    forgive_full_disks()
    cv2.setNumThreads(1)
    numba.set_num_threads(1)


def _render(job: Job, index: int, frame: int, images: NDArray[np.uint8] | None) -> Sample:
    from focalsim.render import render_stack, warp_frame

    config = job.config
    rng = sample_rng(config.seed, index, "camera")
    profile = job.profiles[rng.integers(len(config.phones))]
    camera = draw_camera(profile, job.focus_distances_m, config.width, rng)
    request = job.request(profile)
    prepared = _prepared(job, index, frame, request)
    scene, size = prepared.scene, (config.width, config.height)
    encode = None if profile.effects else linear_to_srgb
    stack = render_stack(
        scene.rgb_linear,
        scene.depth_m,
        focal_length_m=camera.focal_length_m,
        f_number=camera.f_number,
        sensor_width_m=camera.sensor_width_m,
        focus_distances_m=camera.focus_distances_m,
        magnification=camera.magnification,
        principal_point_px=camera.principal_point_px,
        hidden_rgb_linear=scene.hidden_rgb_linear,
        hidden_depth_m=scene.hidden_depth_m,
        output_size=size,
        window=prepared.window,
        lateral_color=profile.effects.lateral_color,
        aperture=profile.effects.aperture,
        device=job.device,
        encode=encode,
        out=images if encode and job.device is None else None,
    )
    sharp, depth_m, valid = warp_frame(
        scene.rgb_linear,
        scene.depth_m,
        scene.valid,
        magnification=float(camera.magnification[REFERENCE_SLICE]),
        principal_point_px=camera.principal_point_px[REFERENCE_SLICE],
        output_size=size,
        window=prepared.window,
        encode=encode,
    )
    images, all_in_focus, settings = _develop(job, index, profile, camera, stack, sharp)
    magnification, shift_px = camera.relative_to(REFERENCE_SLICE)
    return Sample(
        images=images,
        all_in_focus=all_in_focus,
        depth_m=np.where(valid, depth_m, np.float32(0)),
        valid=valid,
        focus_distance_m=camera.focus_distances_m.astype(np.float32),
        magnification=magnification.astype(np.float32),
        principal_point_px=shift_px.astype(np.float32),
        fov_error=camera.fov_error.astype(np.float32),
        focal_length_m=camera.focal_length_m,
        f_number=camera.f_number,
        sensor_width_m=camera.sensor_width_m,
        phone=profile.name,
        source_id=scene.source_id,
        depth_scale=prepared.depth_scale,
        sample_index=index,
        depth_enlarged=scene.depth_enlarged if config.depth_enlarged > 1 else None,
        **settings,
    )


def _prepared(job: Job, index: int, frame: int, request: FrameRequest) -> PreparedScene:
    """The scene of ``frame``, kept from before or made ready now."""
    from focalsim.sources.prepare import prepare_scene

    def prepare() -> PreparedScene:
        return prepare_scene(
            job.source.load(frame, request, sample_rng(job.config.seed, index, "scene")),
            request,
            max_holes=job.config.max_holes,
            depth_policy=job.config.depth,
            match_fov=job.config.match_fov,
        )

    return prepare() if job.kept is None else job.kept.get(frame, request, prepare)


def _develop(
    job: Job,
    index: int,
    profile: PhoneProfile,
    camera: StackCamera,
    stack: NDArray[Any],
    sharp: NDArray[Any],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, float | None]]:
    """The phone's pictures of the slices (S, H, W, 3) and of the sharp frame, and the settings drawn for them.

    Of a phone that adds nothing they are encoded already.
    """
    if not profile.effects:
        return stack, sharp, {}
    from focalsim.sensor import View, develop_sharp, develop_slice, draw_settings

    seed = job.config.seed
    settings = draw_settings(profile, job.config.width, sample_rng(seed, index, "effects"))
    views = [View.of_slice(profile, camera, n, job.config.width, job.config.height) for n in range(len(stack))]
    images = np.empty(stack.shape, np.uint8)
    for n, (light, view) in enumerate(zip(stack, views, strict=True)):
        images[n] = develop_slice(light, profile.effects, settings, view, sample_rng(seed, index, "sensor", n))
    all_in_focus = develop_sharp(sharp, profile.effects, settings, views[REFERENCE_SLICE])
    return images, all_in_focus, asdict(settings)
