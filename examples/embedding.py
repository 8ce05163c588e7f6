"""An embedding that needs no model: texts that share words, or parts of words, get vectors that point the same way.

langgraph.json names it as `store.index.embed`. With a real one, `"embed": "openai:text-embedding-3-small"` and its
`dims` are all there is to change.
"""

import math
import re
import zlib

DIMS = 256


def embed(texts: list[str]) -> list[list[float]]:
    """A vector of DIMS numbers and length 1 for each text."""
    return [embed_one(text) for text in texts]


def embed_one(text: str) -> list[float]:
    """Count the text's words and their groups of three letters in DIMS boxes, chosen by checksum."""
    vector = [0.0] * DIMS
    for word in re.findall(r"\w+", text.lower()):
        padded = f" {word} "
        for part in (padded, *(padded[i : i + 3] for i in range(len(padded) - 2))):
            vector[zlib.crc32(part.encode()) % DIMS] += 1.0
    length = math.hypot(*vector) or 1.0
    return [number / length for number in vector]
