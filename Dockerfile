# jobsd and the tasks of this checkout.
#
#   docker build -t jobsd .
#   docker run -e JOBSD_REDIS_URL=redis://cache:6379/0 -e JOBSD_DATABASE_URL=postgresql://jobsd:password@db/shop jobsd
#   docker stop --time 60 …      after 10 s, unless told otherwise, docker kills; the grace of running jobs is 8 s

FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/jobsd
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE ./
COPY jobsd ./jobsd
RUN /opt/jobsd/bin/pip install ".[daemon,tasks]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home jobsd \
    && install --directory --owner=jobsd /data
COPY --from=build /opt/jobsd /opt/jobsd
WORKDIR /app
COPY config ./config
COPY tasks ./tasks
ENV PATH=/opt/jobsd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EXPORT_DIR=/data/exports \
    JOBSD_STATE=/data
USER jobsd
VOLUME /data
STOPSIGNAL SIGTERM
# Is the queue within reach, with these settings? While Redis is away the daemon waits for it and is unhealthy, not dead.
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 \
    CMD jobsd queues --json > /dev/null || exit 1
CMD ["jobsd", "run"]
