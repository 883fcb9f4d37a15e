"""Computes tests/vectors.json with Python's `cryptography`, independently of the Rust code."""

import base64
import json
import struct
import uuid

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def length_prefixed(*fields):
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def hkdf(key, salt, info, length):
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


kdk, dek = bytes(range(0x00, 0x20)), bytes(range(0x20, 0x40))
salt, nonce = bytes(range(0x40, 0x60)), bytes(range(0x60, 0x6C))
provider = uuid.UUID("8f1c7a52-3b0e-4d6f-9a21-5c4e7d8b9f01")
key = uuid.UUID("2d9e4b10-6f73-4c8a-b5d2-0a1b2c3d4e5f")
vm = uuid.UUID("c0ffee00-1234-4567-89ab-cdef01234567")
name = "disk:vda"

fingerprint = hkdf(kdk, None, length_prefixed(b"cadenas/fingerprint/v1"), 16)
kek_info = length_prefixed(b"cadenas/kek/v1", provider.bytes, key.bytes, vm.bytes)
kek = hkdf(kdk, salt, kek_info, 32)
associated = length_prefixed(b"cadenas/dek/v1", provider.bytes, key.bytes, vm.bytes, name.encode())
entry = {
    "object": name,
    "provider": str(provider),
    "key": str(key),
    "fingerprint": fingerprint.hex(),
    "algorithm": "A256GCMKW",
    "salt": base64url(salt),
    "nonce": base64url(nonce),
    "wrapped": base64url(AESGCM(kek).encrypt(nonce, dek, associated)),
}
kms_kek, kms_key = bytes(range(0x80, 0xA0)), "b4faee10-aa2a-4446-8ad4-0881f3422959"
kms_associated = length_prefixed(
    b"cadenas/dek/kms/v1", provider.bytes, key.bytes, kms_key.encode(), vm.bytes, name.encode()
)
kms_entry = {
    "object": name,
    "provider": str(provider),
    "key": str(key),
    "kms_key": kms_key,
    "fingerprint": hkdf(kms_kek, None, length_prefixed(b"cadenas/fingerprint/v1"), 16).hex(),
    "algorithm": "A256GCMKW",
    "nonce": base64url(nonce),
    "wrapped": base64url(AESGCM(kms_kek).encrypt(nonce, dek, kms_associated)),
}
header, plain = '{"header":true}', "<domain/>"
sealed = AESGCM(dek).encrypt(nonce, plain.encode(), header.encode())

print(json.dumps({
    "kdk": kdk.hex(),
    "dek": dek.hex(),
    "vm": str(vm),
    "fingerprint": fingerprint.hex(),
    "kek_info": kek_info.hex(),
    "kek": kek.hex(),
    "associated": associated.hex(),
    "entry": entry,
    "luks_passphrase": dek.hex(),
    "seal_associated": header,
    "seal_plain": plain,
    "sealed": {"nonce": base64url(nonce), "ciphertext": base64url(sealed)},
    "kms_kek": kms_kek.hex(),
    "kms_associated": kms_associated.hex(),
    "kms_entry": kms_entry,
}, indent=2))
