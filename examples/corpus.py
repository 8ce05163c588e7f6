"""The researcher's library: nine passages on three topics, found by the words of their titles."""

import re

CORPUS = {
    "bicycle begin": "Karl von Drais rode the first two-wheeler in 1817; pedals came half a century later.",
    "bicycle work": "A rider steers into a fall, so the wheels keep coming back under the weight.",
    "bicycle limits": "Air resistance takes most of a rider's effort above 15 km/h.",
    "tea begin": "Tea was drunk in China two thousand years ago, as a medicine before it was a pleasure.",
    "tea work": "Hot water draws out caffeine in the first minute and tannins in the minutes after.",
    "tea limits": "Water that is too hot, or a leaf left too long, makes the cup bitter.",
    "tide begin": "Newton explained the tide in 1687 by the pull of the moon and the sun.",
    "tide work": "The earth turns under two bulges of water, so most coasts see two high tides a day.",
    "tide limits": "Coastlines bend the wave: some bays rise 16 metres, the Mediterranean hardly at all.",
}


def passages_for(question: str) -> list[str]:
    """The passages whose title the question names in full, word by word."""
    words = set(re.findall(r"\w+", question.lower()))
    return [text for title, text in CORPUS.items() if words.issuperset(title.split())]
