# The service alone: one static binary, the certificate authorities, and a place for a file store.
#
#   docker build -t neptun-auth .
#   docker run --rm --read-only -p 8080:8080 neptun-auth
#
# The admin listener stays on the container's own loopback address. There is no shell and no curl
# to `docker exec`, but `/neptun-auth sessions`; a login backend that needs the listener shares the
# network namespace (`--network container:NAME`), or NEPTUN_AUTH_ADMIN_LISTEN opens it, which wants
# an admin token. The health check and `sessions` read the environment, not the command line: set
# variables, not flags.

# A release names it with its digest.
ARG RUST_IMAGE=rust:1-slim-bookworm
FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY . .
# Static, with glibc: `scratch` has no libraries. A flag for the target must not reach build scripts
# and procedural macros, which cannot be static; naming the target, even the host's own, keeps it
# from them. The host is asked, so that the same file builds on amd64 and arm64. Relocations packed
# as glibc 2.36 reads them take a fortieth of the room, some 190 kB. Cargo goes by file times: without
# the touch, sources older than the cache's last build would pass for built already.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    set -eu; \
    touch src/*.rs; \
    host=$(rustc --print host-tuple); \
    RUSTFLAGS='-C target-feature=+crt-static' \
        cargo rustc --release --locked --bin neptun-auth --target "$host" -- \
        -C link-arg=-Wl,-z,pack-relative-relocs; \
    install -D "target/$host/release/neptun-auth" /out/neptun-auth; \
    install -d -m 0700 /out/lib/neptun-auth

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="neptun-auth" \
      org.opencontainers.image.description="A standalone HTTP service that ends sessions, truthfully" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For rediss://
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# For file:/var/lib/neptun-auth/…, on a volume mounted there, which takes over owner and mode. Not
# declared a VOLUME: sessions in a nameless one would be gone with the container and look kept.
COPY --from=build --chown=65532:65532 /out/lib/ /var/lib/
COPY --from=build /out/neptun-auth /
# A number, so that Kubernetes can tell it is not root
USER 65532:65532
ENV NEPTUN_AUTH_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/neptun-auth", "healthcheck"]
ENTRYPOINT ["/neptun-auth"]
