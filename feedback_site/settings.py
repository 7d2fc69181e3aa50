"""Django settings. Everything that differs between machines comes from environment variables.

`HONE_HOME` (default `var/`) holds all state: the embedded database, artifacts, corpora, the folders that
runs work in and the secret key, so two copies with two homes can run side by side. `DATABASE_URL` replaces
the embedded database.
"""

import ipaddress
import os
import secrets
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import dj_database_url
import dj_email_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


def env_bool(name: str, *, default: bool) -> bool:
    """The environment variable `name` as a boolean: 1/0, true/false, yes/no, on/off."""
    value = os.environ.get(name, "").strip().lower()
    if value in {"", *("1", "true", "yes", "on"), *("0", "false", "no", "off")}:
        return default if value == "" else value in {"1", "true", "yes", "on"}
    raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false: use 1 or 0.")


def env_list(name: str, *, default: str = "") -> list[str]:
    """The environment variable `name` as a list: comma-separated, blanks dropped."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


HONE_HOME = Path(os.environ.get("HONE_HOME") or BASE_DIR / "var").expanduser().resolve()
DEBUG = env_bool("DEBUG", default=True)


def secret_key() -> str:
    """`SECRET_KEY` from the environment, or a random one made once and kept, private, in `HONE_HOME`."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = HONE_HOME / "secret_key"
    if not path.exists():
        HONE_HOME.mkdir(parents=True, exist_ok=True)
        # Written aside and linked into place: if two processes start at once, one complete key wins.
        draft = path.with_name(f"secret_key.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


SECRET_KEY = secret_key()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "feedback_site.apps.FeedbackSiteConfig",
    "labeling",
    "training",
    "feedback_site.apps.AdminSiteConfig",
    "django.contrib.auth",
    "django.contrib.humanize",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "procrastinate.contrib.django",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "feedback_site.urls"
WSGI_APPLICATION = "feedback_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# -- Database ------------------------------------------------------------------------------------------

DATABASES: dict[str, Any]
if os.environ.get("DATABASE_URL"):
    DATABASES = {"default": dj_database_url.config(conn_max_age=60, conn_health_checks=True)}
    if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            "DATABASE_URL must name a PostgreSQL database (postgres://…): the task queue is built on it."
        )
elif DEBUG or env_bool("EMBEDDED_POSTGRES", default=False):
    DATABASES = {
        "default": {
            "ENGINE": "feedback_site.embedded_postgres",
            "NAME": "hone",
            "HOME": HONE_HOME,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    }
else:
    raise ImproperlyConfigured(
        "DEBUG=0 needs DATABASE_URL=postgres://…, or EMBEDDED_POSTGRES=1 to keep the embedded database."
    )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- Jobs ----------------------------------------------------------------------------------------------

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"

# -- Files ---------------------------------------------------------------------------------------------

# Form data without files: enough for the longest draft (1.1 million characters, 9 bytes each in a form).
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 2**20

STATIC_URL = "/static/"  # below the path of a request: see static_files
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT") or BASE_DIR / "staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HONE_HOME / "uploads"},
    },
    "artifacts": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HONE_HOME / "artifacts"},
    },
    "staticfiles": {
        "BACKEND": "feedback_site.static_files.PrefixedStaticFiles"
        if DEBUG
        else "feedback_site.static_files.HashedStaticFiles",
    },
}
RUN_FOLDERS = HONE_HOME / "runs"
CORPORA = HONE_HOME / "corpora"
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# -- People --------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "labeling.access.ProjectBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "labeling:projects"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# -- Notifications -------------------------------------------------------------------------------------
# When a run ends, its owner gets an e-mail and a webhook a request, where these are configured.

SITE_URL = os.environ.get("SITE_URL", "http://localhost:8000").rstrip("/")
NOTIFY_EMAIL = env_list("NOTIFY_EMAIL")
NOTIFY_WEBHOOK_SECRET = os.environ.get("NOTIFY_WEBHOOK_SECRET", "")
NOTIFY_WEBHOOK_URL = os.environ.get("NOTIFY_WEBHOOK_URL", "")
if NOTIFY_WEBHOOK_URL and not NOTIFY_WEBHOOK_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"NOTIFY_WEBHOOK_URL={NOTIFY_WEBHOOK_URL!r} is not a URL: use https://…")

EMAIL_URL = os.environ.get("EMAIL_URL", "")
NOTIFY_BY_EMAIL = bool(EMAIL_URL)
if EMAIL_URL:
    EMAIL = {"EMAIL_TIMEOUT": 10, **dj_email_url.parse(EMAIL_URL)}
    if "EMAIL_BACKEND" not in EMAIL:
        raise ImproperlyConfigured("EMAIL_URL must look like submission://user:password@host:587.")
    globals().update(EMAIL)
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "hone@localhost")

# -- Endpoints -----------------------------------------------------------------------------------------
# Models that live elsewhere. Their addresses are public and use https, or lie in these networks.

try:
    ENDPOINT_TRUSTED_NETWORKS = [ipaddress.ip_network(each) for each in env_list("ENDPOINT_TRUSTED_NETWORKS")]
except ValueError as error:
    raise ImproperlyConfigured(
        f"ENDPOINT_TRUSTED_NETWORKS: {error}; write networks as 127.0.0.0/8, separated by commas."
    ) from None

# -- Security ------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
# Browsers keep cookies by host, not by port: two sites on one host need names of their own. All processes of
# a site have its secret key in common, and the name of its database or its folder.
SITE_HASH = blake2b(
    (str(DATABASES["default"]["NAME"]) if os.environ.get("DATABASE_URL") else str(HONE_HOME)).encode(),
    key=sha256(SECRET_KEY.encode()).digest(),
    digest_size=4,
).hexdigest()
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"sessionid_{SITE_HASH}", f"csrftoken_{SITE_HASH}"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Production is expected behind TLS; for plain http set HTTPS=0.
HTTPS = env_bool("HTTPS", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 3600

# -- API -----------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Hone",
    "DESCRIPTION": "Judge samples of a language model, and train it on the answers.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
}

# -- Serving -------------------------------------------------------------------------------------------
# Where pages find `manage.py serve`. `up --serve` sets it to where it starts the server.

SERVE_URL = os.environ.get("SERVE_URL", "http://127.0.0.1:8001").rstrip("/")
if not SERVE_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"SERVE_URL={SERVE_URL!r} is not a URL: use http://…")

# -- Language and time ---------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "WARNING")},
}
