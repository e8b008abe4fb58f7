# Everything a person types here works as root, or as a normal user through sudo.

GO      ?= go
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo "sudo -E env PATH=$$PATH:/usr/sbin:/sbin")
BIN     := bin/tidegate
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# What the tests and the demo run beside Go: program and Debian package.
TOOLS := sysctl:procps curl:curl ping:iputils-ping ss:iproute2 nft:nftables
TEST_TOOLS := $(TOOLS) gcc:gcc,libc6-dev tshark:tshark promtool:prometheus chromium:chromium
BENCH_TOOLS := $(TOOLS) iperf3:iperf3

.PHONY: demo test build man check unit e2e fuzz bench tools test-tools bench-tools clean help

demo: tools build ## see real clients go through a gateway, and an idle connection being reset
	$(SUDO) $(BIN) demo

test: build check unit e2e ## everything CI runs: checks, unit tests with the race detector, end-to-end tests

build: ## bin/tidegate, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/tidegate

man: build ## bin/man, a page for each verb
	$(BIN) man bin/man

check: ## formatting, vet, staticcheck, layering
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -count=1 .
	$(GO) mod verify >/dev/null
	$(GO) mod tidy -diff

AS_ROOT = $(if $(SUDO),-exec '$(SUDO)')

# The tests of gateway, packetio, nexthop, e2e and bench need root for sockets and
# namespaces. The package at the top runs `go list`, and is part of check.
unit: test-tools ## unit tests with the race detector, and what the race detector is too slow for
	@packages=$$($(GO) list ./... | grep -v -e '^tidegate$$' -e /e2e$$ -e /bench$$) && [ -n "$$packages" ] && set -x && \
	$(GO) test -race -count=1 -p 1 -timeout 10m $(AS_ROOT) $$packages
	$(GO) test -count=1 -run Million ./api/server

e2e: test-tools build ## end-to-end tests with real kernels' clients and servers, on each datapath
	TIDEGATE_BIN=$(CURDIR)/$(BIN) $(GO) test -p 1 -count=1 -timeout 15m $(AS_ROOT) ./e2e ./bench

FUZZTIME ?= 30s
fuzz: ## every fuzz test for FUZZTIME each
	@for f in $$(grep -rl --include=*_test.go '^func Fuzz' .); do \
	  for n in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
	    echo "$$n in $$(dirname $$f)"; \
	    $(GO) test -run '^$$' -fuzz "^$$n$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f) || exit 1; \
	  done; done

bench: bench-tools build ## side by side with nftables and plain forwarding; prints ratios (about 10 minutes)
	$(GO) build -o bin/bench ./bench
	$(SUDO) bin/bench $(BENCHFLAGS)

tools:
	@$(call install,$(TOOLS))

test-tools:
	@$(call install,$(TEST_TOOLS))

bench-tools:
	@$(call install,$(BENCH_TOOLS))

# install the Debian packages of those programs that are missing
define install
need=""; for t in $(1); do command -v $${t%%:*} >/dev/null 2>&1 || [ -x /usr/sbin/$${t%%:*} ] || need="$$need $$(echo $${t#*:} | tr , ' ')"; done; \
if [ -n "$$need" ]; then \
  echo "installing$$need"; \
  $(SUDO) sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends$$need >/dev/null" \
  || { echo "could not install$$need; install them and try again" >&2; exit 1; }; \
fi
endef

clean:
	rm -rf bin

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile
