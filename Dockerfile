# The server, as a user without rights and without build tools.
#
#     docker build -t smart-connectors .
#     docker run -p 50051:50051 -p 8080:8080 -v smart-connectors:/state smart-connectors
#
# It listens without TLS: publish the port to a trusted network only. /state is the ledger; a
# container that starts without it has forgotten what was spent.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/smart-connectors
# What changes seldom first, so that a change of the code installs nothing anew.
COPY constraints.txt pyproject.toml ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && /opt/smart-connectors/bin/pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/smart-connectors/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="smart-connectors" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin connectors \
    && install --directory --owner=connectors --group=connectors --mode=0700 /state
COPY --from=build /opt/smart-connectors /opt/smart-connectors
ENV PATH=/opt/smart-connectors/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /state
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["python", "-c", "\
import grpc; \
from grpc_health.v1 import health_pb2 as p, health_pb2_grpc as g; \
stub = g.HealthStub(grpc.insecure_channel('127.0.0.1:50051')); \
answer = stub.Check(p.HealthCheckRequest(), timeout=3); \
raise SystemExit(answer.status != p.HealthCheckResponse.SERVING)"]
ENTRYPOINT ["smart-connectors"]
CMD ["serve", "--host", "0.0.0.0", "--insecure", "--http-host", "0.0.0.0", "--state-dir", "/state"]
