"""The camera of a folder of frames, where a file beside them tells it.

Read are ``camera*`` and ``intrinsics*`` with the suffix ``.json`` (Open3D's layout: ``intrinsic_matrix`` of
nine numbers, columns first) or ``.yaml``, ``.yml``, ``.txt`` (a line each ``fx: 525``, also fy, cx, cy).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from focalsim.scene import Intrinsics

_NUMBER_LINE = re.compile(r"^\s*(fx|fy|cx|cy)\s*[:=]\s*([-+.\deE]+)", re.MULTILINE)


def find_intrinsics(folder: Path) -> Intrinsics | None:
    """Intrinsics told by the first file, by name, that can be read as such; None where there is none."""
    for path in sorted((*folder.glob("camera*"), *folder.glob("intrinsics*"))):
        try:
            if path.suffix.lower() == ".json":
                matrix = json.loads(path.read_text("utf-8"))["intrinsic_matrix"]
                fx, fy, cx, cy = (float(matrix[k]) for k in (0, 4, 6, 7))
            elif path.suffix.lower() in (".yaml", ".yml", ".txt"):
                numbers = dict(_NUMBER_LINE.findall(path.read_text("utf-8")))
                fx, fy, cx, cy = (float(numbers[name]) for name in ("fx", "fy", "cx", "cy"))
            else:
                continue
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue  # something else that is called like it; --match-fov will say that no camera is known
        if fx and fy:
            # A negative fy tells a y axis upwards; images here have it downwards.
            return Intrinsics(abs(fx), abs(fy), cx, cy)
    return None
