"""AES as the reference server stores it: EAX, nonce (16 bytes), tag (16), ciphertext. Pure; the key is the setting's.

Source: contract/platform.md 7.2.
"""

import base64
import binascii

from Crypto.Cipher import AES
from django.conf import settings

from config import dialect

PREFIX = "encrypted.aes:"
NONCE = TAG = 16


class Undecipherable(Exception):
    """What is stored cannot be read: another key, no key, or it was changed."""


def encrypt(plain: bytes) -> bytes:
    """The bytes under a nonce of their own."""
    cipher = AES.new(settings.LANGGRAPH_AES_KEY, AES.MODE_EAX)
    data, tag = cipher.encrypt_and_digest(plain)
    return bytes(cipher.nonce + tag + data)


def decrypt(blob: bytes) -> bytes:
    """What was encrypted. Raises Undecipherable."""
    if not settings.LANGGRAPH_AES_KEY:
        raise Undecipherable("What is stored is encrypted, and LANGGRAPH_AES_KEY is not set")
    nonce, tag, data = blob[:NONCE], blob[NONCE : NONCE + TAG], blob[NONCE + TAG :]
    try:
        return bytes(AES.new(settings.LANGGRAPH_AES_KEY, AES.MODE_EAX, nonce=nonce).decrypt_and_verify(data, tag))
    except ValueError:
        raise Undecipherable("What is stored was encrypted with another LANGGRAPH_AES_KEY") from None


def encrypt_value(value: object) -> str:
    """Any JSON value as a string of JSON."""
    return PREFIX + base64.b64encode(encrypt(dialect.dumps(value))).decode()


def decrypt_value(text: str) -> object:
    """The value again. Raises Undecipherable."""
    try:
        blob = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise Undecipherable("What is stored is no ciphertext") from None
    return dialect.loads(decrypt(blob))
