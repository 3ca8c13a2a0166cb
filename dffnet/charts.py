"""Line charts in SVG, drawn in the colours of the page, whose style follows light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 80, 28, 12, 44
COLOURS = 6  # series in the style of all pages
_MARKED = 40  # points of a curve that are few enough to get a dot each


def line_chart(series: Mapping[str, Points], *, title: str, x: str, y: str, log_y: bool = False) -> str:
    """A figure with a curve for each of ``series`` (name -> points) and a legend where there is more than one.

    Points that are not finite (or not positive on a logarithmic scale) are left out. ``x`` and ``y`` name the axes.
    """
    shown = {
        name: [(a, b) for a, b in points if math.isfinite(a) and math.isfinite(b) and (b > 0 or not log_y)]
        for name, points in series.items()
    }
    every = [point for points in shown.values() for point in points]
    if not every:
        return ""
    x_ticks = ticks(min(a for a, _ in every), max(a for a, _ in every))
    low, high = min(b for _, b in every), max(b for _, b in every)
    y_ticks = log_ticks(low, high) if log_y else ticks(low, high)
    y_low, y_high = min(low, y_ticks[0]), max(high, y_ticks[-1])

    def place(a: float, b: float) -> tuple[float, float]:
        x_low, x_high = x_ticks[0], x_ticks[-1]
        across = (a - x_low) / (x_high - x_low)
        up = math.log(b / y_low) / math.log(y_high / y_low) if log_y else (b - y_low) / (y_high - y_low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in y_ticks:
        _, v = place(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{v:.1f}" y2="{v:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{v + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in x_ticks:
        u, _ = place(tick, y_low)
        parts.append(f'<text x="{u:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:.6g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x)}</text>'
    )
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{html.escape(y)}</text>')
    for k, (name, points) in enumerate(shown.items()):
        placed = [place(*point) for point in points]
        line = " ".join(f"{u:.1f},{v:.1f}" for u, v in placed)
        parts.append(f'<polyline class="curve s{k % COLOURS + 1}" points="{line}"/>')
        if len(points) <= _MARKED:
            for (u, v), (a, b) in zip(placed, points, strict=True):
                told = f"{html.escape(name)}: {b:.4g} at {a:.6g}"
                parts.append(
                    f'<circle class="s{k % COLOURS + 1}" cx="{u:.1f}" cy="{v:.1f}" r="3"><title>{told}</title></circle>'
                )
    label = html.escape(f"{title}: {', '.join(shown)}")
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f'<figure class="card chart"><figcaption>{html.escape(title)}</figcaption>{picture}{_legend(shown)}</figure>'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers, the first not above ``low`` and the last not below ``high``.

    >>> ticks(0, 360)
    [0.0, 100.0, 200.0, 300.0, 400.0]
    """
    if high <= low:
        pad = abs(low) / 2 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / (count - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten around [low, high], low > 0; only the powers where there are many.

    >>> log_ticks(0.3, 4)
    [0.2, 0.5, 1.0, 2.0, 5.0]
    """
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        every = sorted(float(f"{k}e{d}") for d in decades for k in factors)
        kept = [
            t
            for t in every
            if max(u for u in every if u <= low) <= t <= min(u for u in [*every, math.inf] if u >= high)
        ]
        if len(kept) <= 8:
            break
    return kept if len(kept) > 1 else [kept[0], kept[0] * 10]


def _legend(names: Mapping[str, Points]) -> str:
    if len(names) < 2:
        return ""
    items = (f'<li><span class="key s{k % COLOURS + 1}"></span>{html.escape(n)}</li>' for k, n in enumerate(names))
    return f'<ul class="legend">{"".join(items)}</ul>'
