"""`manage.py dbshell` on the embedded server, with the psql of the wheel."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db.backends.postgresql import client

from feedback_site.embedded_postgres.binaries import find_installation
from feedback_site.embedded_postgres.cluster import SUPERUSER
from feedback_site.embedded_postgres.pid_file import PORT
from feedback_site.embedded_postgres.server_handle import server


class DatabaseClient(client.DatabaseClient):
    """Runs psql against the server of the setting HOME."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        host = str(server(Path(settings_dict["HOME"])).ensure_running())
        address = {"HOST": host, "PORT": str(PORT), "USER": SUPERUSER}
        arguments, environment = super().settings_to_cmd_args_env({**settings_dict, **address}, parameters)
        return [str(find_installation() / "bin" / "psql"), *arguments[1:]], environment
