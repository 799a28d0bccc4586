# Two stages: sources and build tools stay in the first, the second holds the environment alone.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/crmsync
# The pinned packages change seldom and are layers of their own.
COPY constraints-build.txt constraints-server.txt ./
RUN pip install --no-cache-dir --require-hashes -r constraints-build.txt
RUN /opt/crmsync/bin/pip install --no-cache-dir --require-hashes -r constraints-server.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/crmsync/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/crmsync --create-home crmsync
COPY --from=build /opt/crmsync /opt/crmsync
ENV PATH=/opt/crmsync/bin:$PATH \
    PYTHONUNBUFFERED=1
USER crmsync
WORKDIR /var/lib/crmsync
# Holds the embedded PostgreSQL's data; stays empty with CRMSYNC_DATABASE_URL.
VOLUME /var/lib/crmsync
EXPOSE 50051
# Signals reach the server itself: SIGTERM drains it.
ENTRYPOINT ["crmsync-server"]
CMD ["serve", "--grpc", "0.0.0.0:50051", "--data-dir", "/var/lib/crmsync"]
