# An image with mirror-sessions alone: `docker build --file deploy/mirror-sessions.Dockerfile .` at the root.
# Run once with `reconcile`, or for good with `watch`; the policy is mounted at /etc/mirror-sessions/policy.toml.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package mirror-sessions

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/mirror-sessions /usr/bin/mirror-sessions
USER 65534:65534
ENV MIRROR_SESSIONS_LOG_FORMAT=json
ENTRYPOINT ["/usr/bin/mirror-sessions"]
CMD ["reconcile"]
