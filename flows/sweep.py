"""The sweep flow: keep a workspace within its age and size."""

from prefect import flow
from prefect.states import Completed, State

from latentsync.storage.sweep import SweepLimits, Swept, sweep_workspace
from latentsync.storage.workspace import Workspace


@flow(name="sweep", persist_result=False)
def sweep(work_dir: str = "", limits: SweepLimits = SweepLimits(), dry_run: bool = False) -> State[Swept]:
    """Delete from a workspace what has not been used for long, and what crashed runs left.

    The state's message says what went; the result has the counts and bytes. A remote workspace is
    swept on this machine only: give the bucket a lifecycle rule.

    Args:
        work_dir: workspace, a folder or fsspec URL (its local copy is swept); empty: ~/.cache/lipsync
        limits: what may stay
        dry_run: only count and tell; delete nothing
    """
    swept = sweep_workspace(Workspace.at(work_dir).root, limits, dry_run)
    return Completed(message=f"{'Would delete' if dry_run else 'Deleted'} {swept}", data=swept)
