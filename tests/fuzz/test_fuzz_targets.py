"""Every fuzzing target holds for what it begins with, and for a few inputs that are broken in one place."""

import random

import pytest

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_pass(name: str) -> None:
    target = TARGETS[name]
    assert target.seeds
    for seed in target.seeds:
        target.run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_broken_seeds_pass(name: str) -> None:
    target, dice = TARGETS[name], random.Random(name)
    for _ in range(200):
        data = bytearray(dice.choice(target.seeds))
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                del data[at:]
            case 1:
                del data[at]
            case 2:
                data[at] = dice.randrange(256)
            case _:
                data.insert(at, dice.randrange(256))
        target.run(bytes(data))
