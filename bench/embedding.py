"""Vectors for the store that is measured: a text is some topics, its vector the sum of theirs. No model, no key."""

import functools
import math
import random
from operator import add

DIMS, TOPICS, PER_TEXT = 384, 400, 8


@functools.cache
def topic(number: int) -> list[float]:
    """The vector of a topic, the same in every process."""
    choose = random.Random(number)
    return [choose.gauss() for _ in range(DIMS)]


def text_of(number: int) -> str:
    """The topics of the text with the number."""
    choose = random.Random(f"text {number}")
    return " ".join(str(choose.randrange(TOPICS)) for _ in range(PER_TEXT))


def embed_one(text: str) -> list[float]:
    """A vector of length 1. The topics differ in weight, the first counts most, so that no two texts are alike."""
    vector = [0.0] * DIMS
    for place, word in enumerate(text.split()):
        weight = 1 / (1 + place / 2)
        vector = list(map(add, vector, [weight * number for number in topic(int(word))]))
    length = math.hypot(*vector) or 1.0
    return [number / length for number in vector]


def embed(texts: list[str]) -> list[list[float]]:
    """langgraph.json names it as `store.index.embed`."""
    return [embed_one(text) for text in texts]
