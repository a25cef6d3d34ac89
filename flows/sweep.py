"""The sweep flow: keep a workspace within its age and size."""

from prefect import flow, get_run_logger

from latentsync.sweeping import SweepLimits, Swept, sweep_workspace
from latentsync.workspace import Workspace


@flow(name="sweep", persist_result=False)
def sweep(work_dir: str = "", limits: SweepLimits = SweepLimits(), dry_run: bool = False) -> Swept:
    """Delete from a workspace what has not been used for long, and what crashed runs left.

    A remote workspace is swept on this machine only: give the bucket a lifecycle rule.

    Args:
        work_dir: workspace, a folder or fsspec URL (its local copy is swept); empty: ~/.cache/lipsync
        limits: what may stay
        dry_run: only count and tell; delete nothing
    """
    swept = sweep_workspace(Workspace.at(work_dir).root, limits, dry_run)
    get_run_logger().info("%s %s", "Would delete" if dry_run else "Deleted", swept)
    return swept
