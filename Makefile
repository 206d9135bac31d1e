# podwire: build and test. `make test` and `make demo` do all set-up on a Debian-like machine with Node 20 and make.
SHELL := /bin/sh
.DEFAULT_GOAL := build

ARCH := $(shell uname -m)
BUN_PACKAGE := $(if $(filter aarch64 arm64,$(ARCH)),bun-linux-aarch64,bun-linux-x64)
BUN := node_modules/@oven/$(BUN_PACKAGE)/bin/bun
MODULES := node_modules/.package-lock.json
SOURCES := $(shell find src -name '*.ts')

DESTDIR ?=
BINDIR ?= /opt/cni/bin
NAMES ?= bridge ptp host-local loopback portmap
# One test file or folder: make test ONLY=test/executable/bridge.test.ts
ONLY ?=

# A process lives for milliseconds: code that is compiled to machine code on a second thread is never used, so the
# thresholds for that are ten times the usual ones (a sixth off an ADD; measured by `make bench`).
# The two autoload flags that default to on are switched off as well: without them the executable would read .env and run
# a bunfig.toml preload from whatever directory a runtime starts it in.
# Bun ends at once where the current directory was deleted (getcwd(2) fails), unless it is told to change to one: to the same.
COMPILE := --compile --minify --bytecode --compile-jit-policy=10 \
	--no-compile-autoload-dotenv --no-compile-autoload-bunfig \
	--no-compile-autoload-tsconfig --no-compile-autoload-package-json --compile-exec-argv=--cwd=/proc/self/cwd

.PHONY: build check lint types unit test demo bench reference packages install clean

build: dist/podwire

$(MODULES): package-lock.json
	npm ci
	@touch $@

dist/podwire: $(SOURCES) tsconfig.json package.json Makefile $(MODULES)
	@mkdir -p dist
	$(BUN) build src/main.ts $(COMPILE) --outfile dist/podwire.new
	@mv -f dist/podwire.new dist/podwire

check: lint types unit

lint: $(MODULES)
	node_modules/.bin/oxlint --config .oxlintrc.json --deny-warnings src test

types: $(MODULES)
	node_modules/.bin/tsc -p .

unit: $(MODULES)
	node_modules/.bin/vitest run --config test/vitest.config.ts --project unit

# Debian packages the tests and the demonstration use; installed when we may, else the line that does it is printed.
packages:
	@test/runner/packages

# The Go reference plugins the tests compare with, where Go is; else Debian's older ones serve.
reference: packages
	@test/runner/reference

test: lint types build reference
	@$(BUN) test/runner/run.ts $(ONLY)

demo: build packages
	@test/runner/isolated $(BUN) test/demo.ts

bench: build reference
	@test/runner/isolated $(BUN) test/bench/main.ts

# A packager's install: the file and its links, nothing else. On a live node use `podwire install`, which replaces safely.
install: build
	install -d $(DESTDIR)$(BINDIR)
	install -m 0755 dist/podwire $(DESTDIR)$(BINDIR)/podwire
	for name in $(NAMES); do ln -sfn podwire $(DESTDIR)$(BINDIR)/$$name; done

clean:
	rm -rf dist .cache
