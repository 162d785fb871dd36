# Farthing as an image: everything pinned by hash, no compiler and no checkout in what runs, a user without rights.
#
#   docker build -t farthing .
#   docker run --rm -v farthing:/var/lib/farthing farthing init
#   docker run -d --name farthing -v farthing:/var/lib/farthing -p 8787:8787 --stop-timeout 20 farthing
#
# On PostgreSQL: -e FARTHING_DATABASE_URL=postgresql://user:password@host/name -e FARTHING_WORKERS=2; no volume then.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN ["python", "-m", "venv", "/opt/farthing"]
WORKDIR /build
# The dependencies first: they are built again only when the lock changes.
COPY requirements/run.lock requirements/
RUN ["/opt/farthing/bin/pip", "install", "--require-hashes", "-r", "requirements/run.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY src src
# The lock has what builds the project as well, so that nothing is fetched that it does not pin.
RUN ["/opt/farthing/bin/pip", "install", "--no-deps", "--no-build-isolation", "."]

FROM python:3.11-slim-bookworm
RUN ["useradd", "--system", "--uid", "10001", "--home-dir", "/var/lib/farthing", "--create-home", "farthing"]
COPY --from=build /opt/farthing /opt/farthing
ENV PATH=/opt/farthing/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FARTHING_HOST=0.0.0.0 \
    FARTHING_PORT=8787 \
    FARTHING_DATABASE_URL=sqlite:////var/lib/farthing/ledger.db
USER 10001
WORKDIR /var/lib/farthing
# A SQLite ledger lives here. It needs a disk of this machine: a network file system breaks the locks it rests on.
VOLUME ["/var/lib/farthing"]
EXPOSE 8787
# Not ready (503) is unhealthy: urlopen raises, and the exit code is 1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['FARTHING_PORT'] + '/readyz', timeout=4)"]
# In exec form Farthing is process 1 and gets SIGTERM itself: it finishes what it has accepted, within 12 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["farthing"]
CMD ["serve"]
