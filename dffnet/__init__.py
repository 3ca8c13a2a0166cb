"""dffnet: depth from a focal stack. Data set -> network -> loss -> measures -> report, on focalsim's shards.

Importing this package is cheap; torch is loaded by the parts that compute.
"""

from __future__ import annotations

__all__: list[str] = []
