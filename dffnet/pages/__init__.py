"""Pages of runs: one, or several side by side. Their frame and style are those of :mod:`focalsim.pages`."""

from dffnet.pages.compare import compare_page
from dffnet.pages.report import report_page

__all__ = ["compare_page", "report_page"]
