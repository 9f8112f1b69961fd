"""DPoP proofs (RFC 9449) by a key of one's own, signed with ES256 by the openssl program."""

import base64
import hashlib
import json
import secrets
import subprocess
import time


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*words, reading=b""):
    return subprocess.run(["openssl", *words], input=reading, capture_output=True, check=True, timeout=10).stdout


class Prover:
    def __init__(self, place):
        self.key = place / f"{secrets.token_hex(8)}.pem"
        self.key.write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"))
        # The point is what a SubjectPublicKeyInfo of this curve ends with.
        point = openssl("ec", "-in", str(self.key), "-pubout", "-outform", "DER")[-64:]
        self.jwk = {"kty": "EC", "crv": "P-256", "x": encoded(point[:32]), "y": encoded(point[32:])}

    def proof(self, method, url, token=None):
        """A header with a new proof."""
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}
        claims = {"jti": secrets.token_hex(16), "htm": method, "htu": url, "iat": int(time.time())}
        if token:
            claims["ath"] = encoded(hashlib.sha256(token.encode()).digest())
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), reading=signed.encode())
        return ("DPoP", f"{signed}.{encoded(raw(signature))}")


def raw(signature):
    """Both numbers of an ECDSA signature in 32 bytes each (RFC 7518 section 3.4), out of their DER."""
    numbers, rest = [], signature[2:]
    for _ in range(2):
        length = rest[1]
        numbers.append(int.from_bytes(rest[2:2 + length], "big").to_bytes(32, "big"))
        rest = rest[2 + length:]
    return b"".join(numbers)
