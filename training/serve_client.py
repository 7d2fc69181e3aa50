"""How the pages of this site reach `manage.py serve`: its address, a key, and whether it answers."""

import json
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

SITE_KEY_PREFIX = "site:"
SITE_KEY_SECONDS = 3600
"""How long a key is accepted after it was made."""

_signer = TimestampSigner(salt="training.serving")


def base_url() -> str:
    """The base URL that OpenAI-compatible clients take."""
    return f"{settings.SERVE_URL}/v1"


def site_key() -> str:
    """A bearer key for this site itself: it may use every version, so check the person's permission first.

    Signed with the SECRET_KEY, which the server shares.
    """
    return _signer.sign(f"{SITE_KEY_PREFIX}hone")


def is_site_key(key: str) -> bool:
    """Whether `site_key` made the key, recently and with this SECRET_KEY."""
    try:
        return _signer.unsign(key, max_age=SITE_KEY_SECONDS).startswith(SITE_KEY_PREFIX)
    except BadSignature:
        return False


def is_running(*, timeout: float = 2.0) -> bool:
    """Whether the server answers at SERVE_URL."""
    # Without the proxies of the environment: the server is on this machine or network.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{settings.SERVE_URL}/health", timeout=timeout) as answer:
            return bool(json.load(answer).get("status") == "ok")
    except (OSError, ValueError, AttributeError):
        return False
