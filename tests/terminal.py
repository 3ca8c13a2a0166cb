"""Programs as a terminal starts them."""

from __future__ import annotations

import signal
import subprocess


def in_terminal(command: list[str]) -> subprocess.Popen[str]:
    """The running ``command``, the first of a process group that hears Ctrl-C; what it says comes by pipes."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background jobs with Ctrl-C ignored, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
