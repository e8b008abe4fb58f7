# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /tidegate ./cmd/tidegate \
 && apt-get update && apt-get install -y --no-install-recommends libcap2-bin \
 # as a file capability, so that the process needs no root: packet sockets, routes, nftables, TUN
 && setcap cap_net_admin,cap_net_raw+ep /tidegate \
 && mkdir -p /out/run/tidegate /out/var/lib/tidegate

FROM scratch
COPY --from=build /tidegate /tidegate
COPY --from=build --chown=65532:65532 /out/ /
USER 65532:65532
VOLUME ["/run/tidegate"]
ENTRYPOINT ["/tidegate"]
CMD ["run", "-c", "/etc/tidegate/tidegate.yaml"]
