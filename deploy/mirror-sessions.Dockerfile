# An image of mirror-sessions; build it in the repository's root: `docker build --file deploy/mirror-sessions.Dockerfile .`
# Run `reconcile` on a schedule, or `watch` continuously, with the policy mounted at /etc/mirror-sessions/policy.toml.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package mirror-sessions

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/mirror-sessions /usr/bin/mirror-sessions
# Map and metrics, which other containers may read.
RUN install --directory --owner 65534 --group 65534 /run/mirror-sessions
VOLUME ["/run/mirror-sessions"]
USER 65534:65534
ENV MIRROR_SESSIONS_LOG_FORMAT=json
ENTRYPOINT ["/usr/bin/mirror-sessions"]
CMD ["reconcile"]
