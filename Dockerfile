# The server, as a user without rights and without build tools.
#
#     docker build -t smart-connectors .
#     docker run -v smart-connectors:/state smart-connectors
#
# As it comes it listens inside the container alone, where published ports do not lead: without TLS
# and access control whoever reaches it may bid. To be reached from outside, set
#
#     SMART_CONNECTORS_CONFIG     a settings file with [server.tls] and [access]
#     SMART_CONNECTORS_HOST       0.0.0.0
#     SMART_CONNECTORS_HTTP_HOST  0.0.0.0, for metrics and the dashboard, with [http.tls] or with
#     SMART_CONNECTORS_HTTP_INSECURE  true: plain text, where nobody else is on the network
#     SMART_CONNECTORS_INSECURE   true, instead of TLS, for gRPC and HTTP, on such a network
#
# and publish the ports; deploy/compose.yaml does. /state is the ledger; a container that starts
# without it has forgotten what was spent. Any user id may run it whose group is 0.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/smart-connectors
# What changes seldom first, so that a change of the code installs nothing anew.
COPY requirements/build.txt requirements/server.txt ./
RUN /opt/smart-connectors/bin/pip install --no-cache-dir --require-hashes -r server.txt \
    && python -m pip install --no-cache-dir --require-hashes -r build.txt
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/smart-connectors/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="smart-connectors" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --gid 0 --no-create-home --shell /usr/sbin/nologin connectors \
    && install --directory --owner=10001 --group=0 --mode=0770 /state
COPY --from=build /opt/smart-connectors /opt/smart-connectors
ENV PATH=/opt/smart-connectors/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SMART_CONNECTORS_STATE_DIR=/state
USER 10001:0
VOLUME /state
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# Over HTTP, which needs no certificate and no token; with another http.port, say so here too.
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s --retries=3 CMD ["python", "-c", "\
import http.client; \
asked = http.client.HTTPConnection('127.0.0.1', 8080, timeout=3); \
asked.request('GET', '/readyz'); \
raise SystemExit(asked.getresponse().status != 200)"]
ENTRYPOINT ["smart-connectors"]
CMD ["serve", "--log-format", "json"]
