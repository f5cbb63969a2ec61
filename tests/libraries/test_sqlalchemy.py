"""SQLAlchemy's asyncio engine with PostgreSQL: https://docs.sqlalchemy.org/en/latest/orm/extensions/asyncio.html"""

import asyncio

import pytest
import trio

from .peers import NAME, POSTGRES, require

REASON = "the extra `libraries` is not installed"
sqlalchemy = pytest.importorskip("sqlalchemy", reason=REASON)
pytest.importorskip("asyncpg", reason=REASON)
pytest.importorskip("greenlet", reason=REASON)
require(POSTGRES)

from sqlalchemy import ForeignKey, func, select, text  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncAttrs, async_sessionmaker, create_async_engine  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload  # noqa: E402

URL = POSTGRES.replace("postgresql://", "postgresql+asyncpg://")


class Base(AsyncAttrs, DeclarativeBase):
    pass


class A(Base):
    __tablename__ = f"{NAME}_a"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str]
    bs: Mapped[list["B"]] = relationship()


class B(Base):
    __tablename__ = f"{NAME}_b"
    id: Mapped[int] = mapped_column(primary_key=True)
    a_id: Mapped[int] = mapped_column(ForeignKey(A.id))
    data: Mapped[str]


def test_core(run):
    async def main():
        engine = create_async_engine(URL, pool_size=3, max_overflow=0)
        table = sqlalchemy.Table(f"{NAME}_t", sqlalchemy.MetaData(), sqlalchemy.Column("n", sqlalchemy.Integer))
        async with engine.begin() as connection:
            await connection.run_sync(table.metadata.create_all)
        try:
            async with engine.begin() as connection:
                await connection.execute(table.insert(), [{"n": n} for n in range(100)])
            with pytest.raises(KeyError):
                async with engine.begin() as connection:
                    await connection.execute(table.insert(), [{"n": 100}])
                    raise KeyError
            async with engine.connect() as connection:
                result = await connection.stream(select(table).order_by(table.c.n))
                return [row.n async for row in result]
        finally:
            async with engine.begin() as connection:
                await connection.run_sync(table.metadata.drop_all)
            await engine.dispose()

    assert run(main) == list(range(100))


def test_orm(run):
    async def main():
        engine = create_async_engine(URL)
        session_of = async_sessionmaker(engine, expire_on_commit=False)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        try:
            async with session_of() as session, session.begin():
                session.add_all([A(bs=[B(data="b1"), B(data="b2")], data="a1"), A(bs=[], data="a2")])
            async with session_of() as session:
                query = select(A).order_by(A.id).options(selectinload(A.bs))
                found = [(a.data, [b.data for b in a.bs]) for a in (await session.execute(query)).scalars()]
                first = (await session.scalars(select(A).order_by(A.id).limit(1))).one()
                first.data = "changed"
                await session.commit()
                await session.refresh(first)
                lazy = [b.data for b in await first.awaitable_attrs.bs]
            return found, lazy, first.data
        finally:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.drop_all)
            await engine.dispose()

    assert run(main) == ([("a1", ["b1", "b2"]), ("a2", [])], ["b1", "b2"], "changed")


async def healthy(engine, size):
    together = asyncio.Barrier(size)

    async def use():
        async with engine.connect() as connection:
            await together.wait()
            return (await connection.execute(text("SELECT 42"))).scalar()

    assert await asyncio.gather(*[use() for _ in range(size)]) == [42] * size
    assert engine.pool.checkedout() == 0


def test_cancelled_in_the_middle_of_a_query(run):
    async def main():
        engine = create_async_engine(URL, pool_size=2, max_overflow=0)

        async def sleep():
            async with engine.begin() as connection:
                await connection.execute(select(func.pg_sleep(100)))

        for _ in range(3):
            tasks = [asyncio.create_task(sleep()) for _ in range(4)]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 4
            await healthy(engine, 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sleep(), 0.1)
        await healthy(engine, 2)
        await engine.dispose()

    run(main)


def test_trio_timeouts_in_the_middle_of_a_query(run_mixed):
    async def main():
        engine = create_async_engine(URL, pool_size=2, max_overflow=0)
        ended = []

        async def impatient(patience):
            with trio.move_on_after(patience) as scope:
                async with engine.begin() as connection:
                    await connection.execute(select(func.pg_sleep(100)))
            ended.append(scope.cancelled_caught)

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    nursery.start_soon(impatient, 0.05 * (n + 1))
            await healthy(engine, 2)
        assert ended == [True] * 12
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(0.05):
                async with async_sessionmaker(engine)() as session:
                    await session.execute(select(func.pg_sleep(100)))
        await healthy(engine, 2)
        await engine.dispose()

    run_mixed(main)
