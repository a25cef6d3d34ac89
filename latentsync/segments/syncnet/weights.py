"""SyncNet's weights: a file of the user's, since nobody says under which licence the published one may be passed on."""

from pathlib import Path

from latentsync.records import Artefact
from latentsync.settings import ScoreSettings
from latentsync.storage.download import local_file
from latentsync.storage.fs import UrlLimits
from latentsync.storage.locations import is_url
from latentsync.storage.workspace import Workspace


def syncnet_weights(score: ScoreSettings, workspace: Workspace, limits: UrlLimits) -> Artefact | None:
    """The weights, if anything is to be measured with them; those at a URL are copied to the workspace.

    Raises WeightsError when they are not there or not whole, and as ``local_file`` does.
    """
    if not _are_wanted(score):
        return None
    path = local_file(score.syncnet, workspace, limits)
    _check(path)
    return workspace.keep(path) if path.is_relative_to(workspace.root) else Artefact.of(path)


def refuse_bad_weights(score: ScoreSettings) -> None:
    """Raise WeightsError for a file on this machine that is missing or holds something else."""
    if _are_wanted(score) and not is_url(score.syncnet):
        _check(Path(score.syncnet))


def _are_wanted(score: ScoreSettings) -> bool:
    return bool(score.syncnet) and score.gate != "off"


def _check(path: Path) -> None:
    from latentsync.segments.syncnet.network import load_syncnet  # torch, slow to import

    load_syncnet(path)
