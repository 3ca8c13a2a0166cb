"""Files and folders by URL (``s3://bucket/prefix``, ``gs://``, ...), through fsspec.

:class:`RemotePath` has as much of ``pathlib.Path`` as bundles need, and fails as files do: with an OSError of one line,
so that whoever handles files handles objects too. A file put there appears whole or not at all, as object stores have
it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from focalsim.errors import ConfigError

# Stores in which folders are nothing but parts of names.
_FLAT = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
# How the stores take the metadata of a new object. In others a shard is known by the manifest alone.
_METADATA = {"s3": "Metadata", "s3a": "Metadata", "gs": "metadata", "gcs": "metadata"}
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


class RemoteStat(NamedTuple):
    """Size of an object in bytes."""

    st_size: int


@dataclass(frozen=True, slots=True)
class RemotePath:
    """One URL, without a slash at its end. Methods raise OSError with a message of one line in ``strerror``."""

    url: str

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder."""
        return RemotePath(self.url.rpartition("/")[0])

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    def exists(self) -> bool:
        """Whether there is an object, or any object below."""
        with self._store() as (store, path):
            return bool(store.exists(path))

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        with self._store() as (store, path):
            return bool(store.isfile(path))

    def stat(self) -> RemoteStat:
        """Its size."""
        with self._store() as (store, path):
            return RemoteStat(int(store.info(path)["size"]))

    def version(self) -> str:
        """Changes with the content: what the store gives of entity tag, size and time."""
        with self._store() as (store, path):
            return str(store.ukey(path))

    def sizes(self) -> dict[str, int]:
        """Bytes of the objects right below, by name, from one listing; none where there is no such folder."""
        with self._store() as (store, path):
            try:
                found = store.ls(path, detail=True)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return {}
            return {item["name"].rpartition("/")[2]: int(item["size"]) for item in found if item["type"] == "file"}

    def iterdir(self) -> Iterator[RemotePath]:
        """The objects right below, by name."""
        return (self / name for name in sorted(self.sizes()))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Those that match."""
        return (path for path in self.iterdir() if fnmatch(path.name, pattern))

    def read_bytes(self) -> bytes:
        """The whole object."""
        with self._store() as (store, path):
            return bytes(store.cat_file(path))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes) -> None:
        """Put a small object."""
        with self._store() as (store, path):
            self._make_folder(store, path)
            store.pipe_file(path, data)

    def upload(self, file: Path, metadata: dict[str, str]) -> None:
        """Put the content of a local file, with ``metadata`` where the store keeps any."""
        with self._store() as (store, path):
            self._make_folder(store, path)
            keyword = _METADATA.get(self._protocol)
            store.put_file(str(file), path, **({keyword: metadata} if keyword else {}))
            size = int(store.info(path)["size"])
            if size != file.stat().st_size:
                raise OSError(errno.EIO, f"only {size} of {file.stat().st_size} bytes have arrived")

    def metadata(self) -> dict[str, str]:
        """What :meth:`upload` was given; empty where the store keeps none."""
        with self._store() as (store, path):
            if self._protocol not in _METADATA:
                return {}
            found = store.metadata(path) if hasattr(store, "metadata") else store.info(path).get("metadata")
            return {str(key): str(value) for key, value in (found or {}).items()}

    def download(self, file: Path) -> None:
        """Get the content into a local file."""
        with self._store() as (store, path):
            store.get_file(path, str(file))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        with self._store() as (store, path):
            try:
                store.rm_file(path)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    @property
    def _protocol(self) -> str:
        return self.url.partition("://")[0]

    def _make_folder(self, store: Any, path: str) -> None:
        if self._protocol not in _FLAT:
            store.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _store(self) -> Iterator[tuple[Any, str]]:
        """The store and the path in it; whatever goes wrong in there becomes an OSError of one line."""
        store, path = self._connect()
        try:
            yield store, path
        except Exception as error:
            raise _plain(error, self) from None

    def _connect(self) -> tuple[Any, str]:
        package = _PACKAGES.get(self._protocol, f"of fsspec for {self._protocol}")
        try:
            from fsspec.core import url_to_fs

            # Listings must not be remembered: others write to the same folder.
            store, path = url_to_fs(self.url, use_listings_cache=False)
        except ImportError:
            extra = {"s3fs": "s3", "gcsfs": "gs"}.get(package)
            hint = f'pip install "focalsim[{extra}]"' if extra else "install it first"
            raise ConfigError(f"{self.url}: needs the package {package}: {hint}") from None
        except ValueError as error:
            raise ConfigError(f"{self.url}: {error}") from None
        except Exception as error:
            raise _plain(error, self) from None
        return store, path


Location: TypeAlias = Path | RemotePath


def location(text: str | os.PathLike[str] | RemotePath) -> Location:
    """A path of this machine, or a URL; ``file://`` is a path too. Raises ConfigError for a URL without a folder."""
    if isinstance(text, RemotePath):
        return text
    text = os.fspath(text)
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"{text}: names the machine {parts.netloc!r}; expected file:///folder")
        return Path(unquote(parts.path))
    if not parts.netloc:
        raise ConfigError(f"{text}: names no bucket; expected {parts.scheme}://bucket/folder")
    return RemotePath(text.rstrip("/"))


def is_folder(path: Location) -> bool:
    """Whether a path is that of a folder. Of a URL its name decides: a shard's ends in .h5, and asking costs time."""
    return path.is_dir() if isinstance(path, Path) else not path.name.endswith(".h5")


def _code(error: BaseException) -> str:
    """The store's own name of an error, "NoSuchBucket" for one; empty where it has none."""
    response = getattr(error.__cause__ or error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _plain(error: Exception, path: RemotePath) -> OSError:
    """The OSError that says in one line what a store's client says by classes of its own."""
    kind, text = type(error).__name__, " ".join(str(error).split()) or type(error).__name__
    if _code(error) == "NoSuchBucket":
        return OSError(errno.ENXIO, "no such bucket", path.url)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "no such object", path.url)
    if "Credentials" in kind or "credentials" in text:
        return PermissionError(errno.EACCES, f"no credentials that the store accepts: {text}", path.url)
    if isinstance(error, PermissionError) or _code(error) in ("403", "AccessDenied"):
        return PermissionError(errno.EACCES, f"the store refuses access: {text}", path.url)
    if "EndpointConnection" in kind or isinstance(error, ConnectionError):
        return ConnectionError(errno.ECONNREFUSED, f"the store does not answer: {text}", path.url)
    return OSError(getattr(error, "errno", None) or errno.EIO, getattr(error, "strerror", None) or text, path.url)
