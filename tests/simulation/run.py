"""One seed, from its first bid to the last check."""

from __future__ import annotations

from pathlib import Path

from tests.simulation import checks
from tests.simulation.broken import Broken, Promise
from tests.simulation.heal import heal
from tests.simulation.life import Life
from tests.simulation.state import World


def simulate(seed: int, state_dir: Path) -> World:
    """Runs one seed. What it found broken is in the world that it returns."""
    world = World(seed, state_dir)
    try:
        for number in range(world.chance.randrange(1, 4)):
            Life(world, number).run()
            checks.check_audit(world)
            if world.all_broken():
                break
        loop = world.new_loop()
        server = world.new_server()
        world.live(heal(world, server), server, loop)
        checks.check_audit(world)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed that led to it is told
        world.broken.append(Broken(Promise.LIVENESS, f"{type(error).__name__}: {error}"))
    checks.check_windows(world)
    checks.check_calls(world)
    checks.check_prices(world)
    checks.check_callers(world)
    return world
