"""AWS Signature Version 4, for the engine that checks and the client that asks.

Written from AWS's description; test_fake.py has its published example.
"""

import hashlib
import hmac
from urllib.parse import quote, unquote

EMPTY = hashlib.sha256(b"").hexdigest()


def encode(text):
    """Percent-encoded, but for what needs no escape anywhere."""
    return quote(text, safe="-_.~")


def canonical_query(query, without=()):
    pairs = []
    for one in filter(None, query.split("&")):
        key, _, value = one.partition("=")
        key, value = unquote(key), unquote(value)
        if key not in without:
            pairs.append((encode(key), encode(value)))
    return "&".join(f"{k}={v}" for k, v in sorted(pairs))


def folded(value):
    return " ".join(value.split())


def canonical(method, path, query, headers, names, payload):
    lines = "".join(f"{n}:{folded(headers[n])}\n" for n in names)
    return "\n".join([method, path, query, lines, ";".join(names), payload])


def key_of(secret, day, region):
    key = ("AWS4" + secret).encode()
    for word in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key


def signature(secret, stamp, region, request):
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                      hashlib.sha256(request.encode()).hexdigest()])
    return hmac.new(key_of(secret, stamp[:8], region), text.encode(),
                    hashlib.sha256).hexdigest()


def authorization(access, secret, region, method, path, query, headers,
                  payload):
    """The header for a request; headers have lower-case names and all of
    them are signed."""
    names = sorted(headers)
    stamp = headers["x-amz-date"]
    got = signature(secret, stamp, region, canonical(
        method, path, canonical_query(query), headers, names, payload))
    return (f"AWS4-HMAC-SHA256 Credential={access}/{stamp[:8]}/{region}/s3/"
            f"aws4_request,SignedHeaders={';'.join(names)},Signature={got}")
