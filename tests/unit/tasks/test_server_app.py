"""The temporary server's database: Prefect's own, but for the page cache."""

import asyncio
from pathlib import Path

import sqlalchemy

from tasks.server_app import CACHE_KIB, SmallCache


def test_its_page_cache_does_not_grow_with_the_tasks(tmp_path: Path) -> None:
    async def pragma(name: str) -> object:
        engine = await SmallCache(connection_url=f"sqlite+aiosqlite:///{tmp_path}/prefect.db").engine()
        async with engine.connect() as connection:
            return (await connection.execute(sqlalchemy.text(f"PRAGMA {name}"))).scalar()

    assert asyncio.run(pragma("cache_size")) == -CACHE_KIB
    assert asyncio.run(pragma("journal_mode")) == "wal"  # as Prefect has it
