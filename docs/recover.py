#!/usr/bin/env python3
"""Recovers an encrypted VM without Cadenas: from the provider's backup, its password and the VM's descriptor.

    python3 recover.py PROVIDER.p12 WEB01.cadenas OUT_FOLDER [PASSWORD_FILE]
    python3 recover.py KEY_FILE     WEB01.cadenas OUT_FOLDER

The second form is for a VM whose key a key server keeps: KEY_FILE is that key as the key server gives it, as 32 bytes or as
64 hex digits; `kms_key` in the descriptor says which one it is.

Needs Python 3.9 and the package `cryptography` (Debian: python3-cryptography). It writes what `cadenas recover` writes,
readable for you alone: OUT_FOLDER/TARGET.passphrase for each encrypted disk and OUT_FOLDER/NAME.xml. It changes nothing and
overwrites nothing. Without PASSWORD_FILE it asks for the password; press Return for a backup without one.
The formats are in docs/formats.md.
"""

import base64
import getpass
import hashlib
import hmac
import json
import os
import struct
import sys
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PBES2 = bytes.fromhex("2a864886f70d01050d")
PBKDF2 = bytes.fromhex("2a864886f70d01050c")
HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")
AES256_CBC = bytes.fromhex("60864801650304012a")
SHA256_OID = bytes.fromhex("608648016503040201")
PKCS7_DATA = bytes.fromhex("2a864886f70d010701")
SECRET_BAG = bytes.fromhex("2a864886f70d010c0a0105")
FRIENDLY_NAME = bytes.fromhex("2a864886f70d010914")


# --- The backup: PKCS#12 (RFC 7292), which is DER: nested values of a tag, a length and content. ---


def values(der):
    """The values that stand one after the other in `der`, each as its content."""
    found, at = [], 0
    while at < len(der):
        length, at = der[at + 1], at + 2
        if length >= 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
        if at + length > len(der):
            raise ValueError("cut short")
        found.append(der[at : at + length])
        at += length
    return found


def verified_contents(pfx, password):
    """The contents of the file, if its MAC was made with this password (RFC 7292, appendix B)."""
    _version, auth_safe, mac = values(values(pfx)[0])
    contents = values(values(auth_safe)[1])[0]
    digest_info, salt, *rounds = values(mac)
    algorithm, digest = values(digest_info)
    if values(algorithm)[0] != SHA256_OID:
        sys.exit("The backup's MAC is not SHA-256.")
    text = password.encode("utf-16-be") + b"\0\0"
    key = b"\3" * 64 + filled(salt) + filled(text)
    for _ in range(int.from_bytes(rounds[0], "big") if rounds else 1):
        key = hashlib.sha256(key).digest()
    if not hmac.compare_digest(hmac.new(key, contents, "sha256").digest(), digest):
        sys.exit("The password is wrong, or the backup is damaged.")
    return contents


def filled(data):
    """`data` repeated to whole blocks of 64 bytes."""
    blocks = -(-len(data) // 64) * 64
    return (data * blocks)[:blocks]


def secrets_of(contents, password):
    """Every secret bag: its friendly name and what is in it."""
    found = {}
    for safe in values(values(contents)[0]):
        kind, content = values(safe)
        if kind != PKCS7_DATA:
            continue
        for bag in values(values(values(content)[0])[0]):
            bag_kind, value, attributes = values(bag)
            if bag_kind == SECRET_BAG:
                found[friendly_name(attributes)] = secret_in(value, password)
    return found


def friendly_name(attributes):
    for attribute in values(attributes):
        kind, names = values(attribute)
        if kind == FRIENDLY_NAME:
            return values(names)[0].decode("utf-16-be")
    return ""


def secret_in(value, password):
    """A secret bag holds an EncryptedPrivateKeyInfo, and that a PrivateKeyInfo with the secret."""
    _kind, explicit = values(values(value)[0])
    algorithm, encrypted = values(values(values(explicit)[0])[0])
    private_key_info = decrypt_pbes2(algorithm, encrypted, password)
    return values(values(private_key_info)[0])[2]


def decrypt_pbes2(algorithm, encrypted, password):
    """PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC (RFC 8018)."""
    scheme, parameters = values(algorithm)
    derivation, cipher = values(parameters)
    (kdf, kdf_parameters), (cipher_kind, iv) = values(derivation), values(cipher)
    salt, rounds, *_key_length, prf = values(kdf_parameters)
    if (scheme, kdf, values(prf)[0], cipher_kind) != (PBES2, PBKDF2, HMAC_SHA256, AES256_CBC):
        sys.exit("The backup is encrypted in a way that this script does not know.")
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int.from_bytes(rounds, "big"), 32)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    return padded[: -padded[-1]]


def provider_keys(p12, password):
    """The provider's keys (KDKs) by (provider ID, key ID), each checked against its fingerprint."""
    secrets = secrets_of(verified_contents(p12, password), password)
    documents = [json.loads(secret) for name, secret in secrets.items() if name.startswith("cadenas-backup-")]
    if len(documents) != 1 or documents[0]["format"] != "cadenas/backup/v1":
        sys.exit("The file is not a Cadenas backup that this script knows.")
    keys = {}
    for key in documents[0]["keys"]:
        kdk = secrets[f"cadenas-key-{key['id']}"]
        if fingerprint(kdk) != key["fingerprint"]:
            sys.exit(f"The backup holds another key under the ID {key['id']}.")
        keys[documents[0]["provider"], key["id"]] = kdk
    return keys


# --- A key server's key: nothing but 32 bytes. ---


def key_of_a_key_server(data):
    """The key, if the file is one; `None` if it is something else, such as a backup."""
    if len(data) == 32:
        return data
    text = data.strip()
    try:
        return bytes.fromhex(text.decode()) if len(text) == 64 else None
    except (ValueError, UnicodeDecodeError):
        return None


def keys_by_fingerprint(key, key_safe):
    """The key under the IDs of those entries that are its own."""
    own = [entry for entry in key_safe if "kms_key" in entry and entry["fingerprint"] == fingerprint(key)]
    return {(entry["provider"], entry["key"]): key for entry in own}


# --- The key safe: HKDF-SHA-256 gives the key of the VM, AES-256-GCM unwraps the key of each object. ---


def length_prefixed(*fields):
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def hkdf(key, salt, info, length):
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def fingerprint(kdk):
    return hkdf(kdk, None, length_prefixed(b"cadenas/fingerprint/v1"), 16).hex()


def base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_key(entry, keys):
    key = keys.get((entry["provider"], entry["key"]))
    if key is not None and fingerprint(key) == entry["fingerprint"]:
        return
    if "kms_key" in entry:
        sys.exit(f"{entry['object']} needs the key that a key server has as {entry['kms_key']}: this is another one.")
    sys.exit(f"{entry['object']} needs key {entry['key']} of provider {entry['provider']}: not in this backup.")


def unwrapped(entry, vm, keys):
    """The data encryption key (DEK) of one entry of the key safe."""
    key, entry_object = keys[entry["provider"], entry["key"]], entry["object"].encode()
    provider_id, key_id, vm_id = (uuid.UUID(text).bytes for text in (entry["provider"], entry["key"], vm))
    if "kms_key" in entry:
        kek, kms_key = key, entry["kms_key"].encode()
        associated = length_prefixed(b"cadenas/dek/kms/v1", provider_id, key_id, kms_key, vm_id, entry_object)
    else:
        info = length_prefixed(b"cadenas/kek/v1", provider_id, key_id, vm_id)
        kek = hkdf(key, base64url(entry["salt"]), info, 32)
        associated = length_prefixed(b"cadenas/dek/v1", provider_id, key_id, vm_id, entry_object)
    return AESGCM(kek).decrypt(base64url(entry["nonce"]), base64url(entry["wrapped"]), associated)


def opened_configuration(descriptor, dek):
    """The sealed configuration; the header as compact JSON is its associated data."""
    header = json.dumps(descriptor["header"], separators=(",", ":"), ensure_ascii=False).encode()
    sealed = descriptor["configuration"]
    return json.loads(AESGCM(dek).decrypt(base64url(sealed["nonce"]), base64url(sealed["ciphertext"]), header))


# --- Reading and writing. ---


def write_private(path, data):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    print(path)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def keys_of_a_backup(p12, password_file):
    if password_file is None:
        password = getpass.getpass("Password of the backup: ")
    else:
        password = read(password_file).decode().removesuffix("\n")
    try:
        return provider_keys(p12, password)
    except (ValueError, IndexError, KeyError):
        sys.exit("The backup is damaged or not of this version of Cadenas.")


def main(key_source, vm_file, out, password_file=None):
    source = read(key_source)
    key = key_of_a_key_server(source)
    keys = keys_of_a_backup(source, password_file) if key is None else {}
    descriptor = json.loads(read(vm_file))
    if descriptor["cadenas"] not in (1, 2):
        sys.exit("The descriptor has a format version that this script does not know.")
    if key is not None:
        keys = keys_by_fingerprint(key, descriptor["key_safe"])
    for entry in descriptor["key_safe"]:
        check_key(entry, keys)
    os.makedirs(out, mode=0o700, exist_ok=True)
    problems = [recover_object(entry, descriptor, keys, out) for entry in descriptor["key_safe"]]
    sys.exit("\n".join(filter(None, problems)) or None)


def recover_object(entry, descriptor, keys, out):
    """Writes the file of one object, or says what is wrong. A damaged object does not keep the others from being recovered."""
    try:
        dek = unwrapped(entry, descriptor["header"]["vm"], keys)
    except InvalidTag:
        return f"The key of {entry['object']} was changed, or belongs to another VM."
    if entry["object"] != "configuration":
        target = entry["object"].removeprefix("disk:")
        return write_private(os.path.join(out, target + ".passphrase"), dek.hex().encode())
    try:
        xml = opened_configuration(descriptor, dek)["domain_xml"]
    except InvalidTag:
        return "The header or the configuration of the VM was changed."
    return write_private(os.path.join(out, descriptor["header"]["name"] + ".xml"), xml.encode())


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
