"""Self-contained HTML pages: one file that opens from disk and asks the network for nothing."""

from focalsim.pages.page import fact_list, html_page, image_url, resource

__all__ = ["fact_list", "html_page", "image_url", "resource"]
