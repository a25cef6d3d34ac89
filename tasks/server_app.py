"""Prefect's server as one command uses it: what it holds in memory does not grow with the number of tasks."""

from typing import Any

from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

CACHE_KIB = 512  # of each connection; Prefect's 80 MiB fill as tasks are recorded


class SmallCache(AioSqliteConfiguration):
    """SQLite as Prefect sets it up, with a page cache that stays small."""

    def setup_sqlite(self, conn: Any, record: Any) -> None:
        """As Prefect does it, on connect."""
        super().setup_sqlite(conn, record)
        cursor = conn.cursor()
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        cursor.close()


def create_app() -> Any:
    """The application, for uvicorn."""
    from prefect.server.api.server import create_app

    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url and url.startswith("sqlite"):
        set_database_config(SmallCache(connection_url=url))
    return create_app()
