"""Progress bars: on a terminal, with the time left, and not where ``focalsim`` was told to be quiet."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(iterable: Iterable[Any] | None = None, *, show: bool = True, **options: Any) -> Any:
    """A tqdm bar on standard error with ``options`` of tqdm; nothing where that is no terminal, or not ``show``.

    The level of the logger ``focalsim`` decides too: above INFO (``--quiet``) there is no bar.
    """
    quiet = logging.getLogger("focalsim").level > logging.INFO
    return tqdm(iterable, disable=None if show and not quiet else True, **options)
