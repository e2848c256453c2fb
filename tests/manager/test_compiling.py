"""What becomes of a compilation that has no result."""

import asyncio
import signal
from typing import Any

import pytest

from supervisord_lite.manager.compiling import LOOK, BadConfiguration, Compiler


class Orders:
    """Stands in for the link to the keeper: somebody who takes orders."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.some = asyncio.Event()

    def order(self, packets: list[Any], _descriptors: tuple[int, ...] = ()) -> None:
        self.given += packets
        self.some.set()


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (signal.SIGALRM, "its files could not be read in time"),
        (signal.SIGKILL, "the compiler died"),
    ],
)
def test_the_way_that_a_compiler_died_is_told(status: int, problem: str) -> None:
    """One that read a FIFO that nobody writes is ended by its alarm."""

    async def compile_in_vain() -> None:
        orders: Any = Orders()
        compiler = Compiler(orders, {}, ("compile", "shop.yaml"), lambda: None)
        compiling = asyncio.create_task(compiler.compile(LOOK))
        await orders.some.wait()
        run = orders.given[-1]["run"]
        compiler.take({"tell": "exited", "instance": LOOK, "run": run, "status": status})
        await compiling

    with pytest.raises(BadConfiguration) as caught:
        asyncio.run(compile_in_vain())
    assert caught.value.problems == (f"cannot compile the configuration: {problem}",)
