"""Fetch the published weights from the Hugging Face hub, at pinned commits, checked by their sha256.

The hub's own client does the talking: HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and proxies are what its
users know, and files in its cache are copied. Only the half-written file is kept here: ``hf_hub_download``
starts a file again when it is called again, and the UNet has 5 GB.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import WeakFileLock, build_hf_headers, httpx

from latentsync.engines.diffusion.manifest import pin_resolution
from latentsync.engines.diffusion.published import PublishedFile, Release, Repository
from latentsync.errors import InputError, TransientError
from latentsync.records import file_sha256

STAGING = ".fetch"  # in the folder: what has arrived, until everything has
NOT_FOR_US = (401, 403, 404)  # the hub answers 401 for a repository that does not exist


def fetch(release: Release, folder: Path, *, endpoint: str | None = None) -> None:
    """Download what ``folder`` lacks of ``release``; the files appear in it when all of them have arrived.

    ``endpoint`` is another hub than that of HF_ENDPOINT. Raises ``InputError`` for what is not there or has
    no room, ``TransientError`` when the network fails: call it again, and it goes on where it stopped.
    """
    staging = folder / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(staging / "lock"):
        lacking = [
            (repository, file)
            for repository in release.repositories
            for file in repository.files
            if not _is_whole(folder / repository.folder / file.name, file)
        ]
        _require_space(folder, [file for _, file in lacking])
        for repository, file in lacking:
            _stage(repository, file, _staged(staging, file), endpoint)
        for repository, file in lacking:
            path = folder / repository.folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(_staged(staging, file), path)
        pin_resolution(folder, release.resolution_px)  # last: a folder without it is not loaded
    shutil.rmtree(staging, ignore_errors=True)  # by whoever waited for the lock, too


def _stage(repository: Repository, file: PublishedFile, staged: Path, endpoint: str | None) -> None:
    cached = try_to_load_from_cache(repository.name, file.name, revision=repository.revision)
    with open(staged, "ab") as out:
        if isinstance(cached, str) and _is_whole(Path(cached), file):
            out.truncate(0)
            with open(cached, "rb") as content:
                shutil.copyfileobj(content, out)
        else:
            url = hf_hub_url(repository.name, file.name, revision=repository.revision, endpoint=endpoint)
            with _clear_errors(url):
                _download(url, file, out)
        out.flush()
        os.fsync(out.fileno())
    if not _is_whole(staged, file):
        staged.unlink()
        raise TransientError(
            f"{file.name} arrived with another sha256 than {file.sha256}, that of {repository.name} at "
            f"{repository.revision[:12]}: repeat, or fetch from another HF_ENDPOINT"
        )


def _download(url: str, file: PublishedFile, out: BinaryIO) -> None:
    """Append what is missing of ``file``; a connection that breaks off is taken up again by the hub's client."""
    listed_bytes = get_hf_file_metadata(url).size
    if listed_bytes != file.size_bytes:
        raise InputError(
            f"{url} has {listed_bytes} bytes, the published file {file.size_bytes}: HF_ENDPOINT is no mirror of the hub"
        )
    http_get(
        url,
        out,
        resume_size=out.tell(),
        headers=build_hf_headers(),
        expected_size=file.size_bytes,
        displayed_filename=file.name,
    )


@contextmanager
def _clear_errors(url: str) -> Iterator[None]:
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise InputError(f"cannot fetch {url}: HF_HUB_OFFLINE forbids it; unset it") from error
    except HfHubHTTPError as error:
        reason = str(error).splitlines()[0]
        if error.response.status_code in NOT_FOR_US:
            raise InputError(f"cannot fetch {url}: not there, or not for your HF_TOKEN ({reason})") from error
        raise TransientError(f"cannot fetch {url} ({reason}); repeat to go on where it stopped") from error
    except (httpx.HTTPError, OSError) as error:
        raise TransientError(f"cannot fetch {url} ({error}); repeat to go on where it stopped") from error
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"cannot fetch {url} ({error}): correct HF_ENDPOINT or the proxy variables") from error


def _require_space(folder: Path, files: list[PublishedFile]) -> None:
    staged = [_staged(folder / STAGING, file) for file in files]
    arrived_bytes = sum(path.stat().st_size for path in staged if path.is_file())
    lacking_bytes = sum(file.size_bytes for file in files) - arrived_bytes
    if (free_bytes := shutil.disk_usage(folder).free) < lacking_bytes:
        raise InputError(
            f"{folder} has {free_bytes / 1e9:.1f} GB free, the weights need {lacking_bytes / 1e9:.1f} GB more"
        )


def _staged(staging: Path, file: PublishedFile) -> Path:
    return staging / file.sha256


def _is_whole(path: Path, file: PublishedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size_bytes and file_sha256(path) == file.sha256
