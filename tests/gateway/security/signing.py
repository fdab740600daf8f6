"""Keys and tokens of the tests' own."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import SecretStr

SECRET = "a-secret-that-only-the-gateway-of-this-test-knows-of"
OTHER_SECRET = "another-secret-that-somebody-else-made-up-for-himself"
JWT_SECRET = SecretStr(SECRET)

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ALGORITHMS = {
    "RS256": (RSA, jwt.algorithms.RSAAlgorithm),
    "ES256": (EC, jwt.algorithms.ECAlgorithm),
    "EdDSA": (ED, jwt.algorithms.OKPAlgorithm),
}


def claims(**more: Any) -> dict[str, Any]:
    """Claims of a signed-in user; None takes one away."""
    now = int(time.time())
    whole = {
        "sub": "7f0c2b6e-5d0b-4a39-9a0f-0f5f0c1f8a11",
        "role": "authenticated",
        "aud": "authenticated",
        "iat": now,
        "exp": now + 3600,
        **more,
    }
    return {name: value for name, value in whole.items() if value is not None}


def token(*, secret: str = SECRET, head: dict[str, Any] | None = None, **more: Any) -> str:
    """A token signed with the shared secret."""
    return jwt.encode(claims(**more), secret, algorithm="HS256", headers=head)


def public_jwk(algorithm: str, *, kid: str | None) -> dict[str, Any]:
    """The public half of a key, as a set lists it."""
    key, kind = ALGORITHMS[algorithm]
    found: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return {**found, "use": "sig", "alg": algorithm, **({"kid": kid} if kid else {})}


def public_pem() -> bytes:
    """The text of the RSA key that everybody may know."""
    return RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
