# `make` prints what there is. Everything works on a machine with nothing but Go.

GO          ?= go
TOOLS       := $(CURDIR)/bin/tools
LINT        := $(TOOLS)/golangci-lint
LINT_VERSION := v2.15.0
VULN        := $(TOOLS)/govulncheck
VULN_VERSION := v1.1.4
HELM        := $(TOOLS)/helm
HELM_VERSION := v4.3.1
STRICT      := $(TOOLS)/strict
DATA        ?= .data
LDFLAGS     := -s -w
BUILD        = $(GO) build -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)'
TEST_FLAGS  ?=

.DEFAULT_GOAL := help
.PHONY: help run build slim licenses sizes test test-real test-long golden lint bench peers vuln clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: build ## build, and start everything with a school to look at (data in ./.data)
	@bin/schoolbell serve --demo --data=$(DATA)

build: ## bin/schoolbell
	@mkdir -p bin
	$(BUILD) -o bin/schoolbell ./cmd/schoolbell

slim: ## bin/schoolbell-slim, without the embedded servers, as in the image
	@mkdir -p bin
	$(BUILD) -tags noembed -o bin/schoolbell-slim ./cmd/schoolbell

licenses: ## renew the third-party notices in the binary; after a change of dependencies
	$(GO) run ./cmd/schoolbell/internal/licenses/generate ./cmd/schoolbell cmd/schoolbell/internal/licenses/notices.txt

sizes: ## what each module adds to the binary
	@mkdir -p bin
	@$(GO) build -trimpath -o bin/schoolbell.symbols ./cmd/schoolbell
	@$(GO) run ./cmd/schoolbell/internal/sizes bin/schoolbell.symbols

test: ## tests that need nothing but Go; TEST_FLAGS adds flags, for example TEST_FLAGS=-race
	$(GO) test -timeout 15m $(TEST_FLAGS) ./...

# Only the tests of a tier run, in their packages alone; .ci/tier finds them by the call that puts
# them there. onEachServer makes that call for the tests of internal/redis.
test-real: $(HELM) $(STRICT) ## tests against a real Kafka and Redis, official clients, promtool, pdftotext, …
	args=$$(.ci/tier 'devtest[.]Real[(]t|onEachServer[(]t') && \
	PATH="$(TOOLS):$$PATH" SCHOOLBELL_REAL=1 $(GO) test -timeout 15m $(TEST_FLAGS) $$args

test-long: ## tests that take minutes: thousands of seeds, 20,000 deliveries, 500,000 events
	args=$$(.ci/tier 'devtest[.](Long|Size)[(]t') && \
	SCHOOLBELL_LONG=1 SCHOOLBELL_REAL=1 $(GO) test -timeout 60m $(TEST_FLAGS) $$args

# What the tests named …Golden… and TestScenarios… compare with; package internal/golden sees to the names.
golden: ## renew all golden and scenario files; look at the difference before you commit it
	SCHOOLBELL_GOLDEN=update $(GO) test -count=1 -run 'Golden|^TestScenarios' \
		$$(grep -rlE --include='*_test.go' --exclude-dir=testdata --exclude-dir=node_modules 'internal/golden"|projections/projtest"' . | xargs -n1 dirname | sort -u)

lint: $(LINT) ## gofumpt, vet and the linters of .golangci.yml, then known vulnerabilities
	$(LINT) run ./...
	@$(MAKE) --no-print-directory vuln

bench: build ## measure the budgets against a stack of its own
	bin/schoolbell bench project
	bin/schoolbell bench rebuild
	bin/schoolbell bench ingest
	bin/schoolbell bench freshness
	bin/schoolbell bench query
	bin/schoolbell bench jobs
	bin/schoolbell bench realtime

# The database of vulnerabilities is a server on the internet. Where it cannot be reached there is nothing to check.
vuln: $(VULN) ## known vulnerabilities in what we call
	@if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/db.json; then $(VULN) ./...; \
	else echo "vuln.go.dev cannot be reached: vulnerabilities were not checked"; fi

clean: ## remove what was built; data stays
	rm -rf bin

$(LINT): Makefile
	GOFLAGS= GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@touch $@

$(VULN): Makefile
	GOFLAGS= GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	@touch $@

$(HELM): Makefile
	GOFLAGS=-trimpath GOBIN=$(TOOLS) $(GO) install helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)
	@touch $@

$(STRICT): Makefile $(wildcard deploy/helm/strict/*)
	@mkdir -p $(TOOLS)
	cd deploy/helm/strict && GOFLAGS=-trimpath $(GO) build -o $@ .

# BullMQ has native parts for many systems, and npm ci would want each of them from the registry.
peers: ## what `bench realtime` and `bench jobs` measure next to ours, with --peers bin/peers
	@mkdir -p bin/peers/socketio bin/peers/bullmq
	cd bench/peers && $(GO) build -o $(CURDIR)/bin/peers/ ./bare ./centrifuge
	cp bench/peers/socketio/package*.json bench/peers/socketio/server.js bin/peers/socketio/
	cp bench/peers/bullmq/package*.json bench/peers/bullmq/bench.js bin/peers/bullmq/
	cd bin/peers/socketio && npm ci --no-audit --no-fund
	cd bin/peers/bullmq && npm install --no-save --ignore-scripts --no-audit --no-fund
