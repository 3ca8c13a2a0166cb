"""An S3-compatible server of its own for the tests, on the loopback interface."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager

SERVER = "import sys; from moto.server import main; main(sys.argv[1:])"


@contextmanager
def s3_server():
    """Yields its address."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", SERVER, "-H", "127.0.0.1", "-p", port]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield _answering(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


def _answering(address, process):
    for _ in range(300):
        assert process.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return address
    raise AssertionError("the server does not answer")
