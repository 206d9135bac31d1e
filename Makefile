# podwire: build and test. `make test` and `make demo` do all set-up on a Debian-like machine with Node 20, make, cc and cargo.
SHELL := /bin/sh
.DEFAULT_GOAL := build

MODULES := node_modules/.package-lock.json
SOURCES := $(shell find src -name '*.ts')
ENGINE_CHANGES := src/engine/cc src/engine/frozen.h
ENGINE_SOURCES := $(wildcard src/engine/*.rs) $(ENGINE_CHANGES) src/engine/Cargo.toml src/engine/Cargo.lock

# What npm and cargo download stays in this folder, not in HOME, unless you say where they keep it.
ifndef NPM_CONFIG_CACHE
export npm_config_cache ?= $(CURDIR)/.cache/npm
endif
export CARGO_HOME ?= $(CURDIR)/.cache/cargo

# The engine is linked static, at fixed addresses, with musl: its heap is made at build time and stays where it is.
ENGINE_TARGET ?= $(shell uname -m)-unknown-linux-gnu
ENGINE_CC ?= musl-gcc
ENGINE_MORE ?=
ENGINE := .cache/engine/$(ENGINE_TARGET)/release/engine
ENGINE_FLAGS := -C linker=$(ENGINE_CC) -C relocation-model=static -C target-feature=+crt-static \
	-C link-arg=-Wl,-Bstatic -C link-arg=-Wl,--start-group -C link-arg=-lc -C link-arg=-lgcc -C link-arg=-Wl,--end-group \
	-C link-arg=-Wl,--entry=podwire_start \
	--remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(HOME)=~ $(ENGINE_MORE)
# Where another architecture is built, what runs its programs: the finished engine makes its own heap.
RUNNER ?=
CARGO ?= cargo
OUT ?= dist/podwire

DESTDIR ?=
BINDIR ?= /opt/cni/bin
PREFIX ?= /usr/local
# What people have beside the plugins: the command, its man page, and what lets shells complete its lines.
COMMAND := $(PREFIX)/sbin/podwire
MANUAL := $(PREFIX)/share/man/man8/podwire.8
COMPLETION_bash := $(PREFIX)/share/bash-completion/completions/podwire
COMPLETION_zsh := $(PREFIX)/share/zsh/site-functions/_podwire
COMPLETION_fish := $(PREFIX)/share/fish/vendor_completions.d/podwire.fish
SHELLS := bash zsh fish
# One test file or folder: make test ONLY=test/executable/bridge.test.ts
ONLY ?=
INPUTS ?= 100000
FUZZ ?=
FUZZ_TARGET := .cache/fuzz/target

.PHONY: build check format lint types unit test fuzz arm64 demo bench reference packages install uninstall clean

build: $(OUT)

$(MODULES): package-lock.json
	npm ci
	@touch $@

$(ENGINE): $(ENGINE_SOURCES) Makefile
	@test/runner/toolchain $(ENGINE_CC) $(CARGO)
	cd src/engine && CARGO_TARGET_DIR="$(CURDIR)/.cache/engine" RUSTFLAGS="$(ENGINE_FLAGS)" \
		CC_$(subst -,_,$(ENGINE_TARGET))="$(CURDIR)/src/engine/cc $(ENGINE_CC)" \
		CFLAGS_$(subst -,_,$(ENGINE_TARGET))="-ffile-prefix-map=$(CURDIR)=. -fno-pic -fno-plt -D__SANITIZE_ADDRESS__ \
			-DCHANGES=$(shell cat $(ENGINE_CHANGES) | cksum | cut -d' ' -f1)" \
		$(CARGO) build --quiet --locked --release --target $(ENGINE_TARGET)
	@touch $@

.cache/podwire.js: $(SOURCES) package.json Makefile $(MODULES)
	@node_modules/.bin/esbuild src/main.ts --bundle --format=iife --global-name=podwire --conditions=podwire --target=es2023 \
		--minify-syntax --minify-whitespace --preserve-symlinks --log-level=warning --outfile=$@

# What calls do is known from those recorded for the fuzz target.
.cache/rehearsal.js: test/fuzz/rehearsal.ts test/fuzz/recorded.txt Makefile $(MODULES)
	@node_modules/.bin/esbuild $< --bundle --format=iife --global-name=rehearsal --target=es2023 --loader:.txt=text \
		--log-level=warning --outfile=$@

$(OUT): .cache/podwire.js .cache/rehearsal.js $(ENGINE)
	@mkdir -p $(dir $(OUT))
	@env -i $(RUNNER) $(ENGINE) .cache/podwire.js $(OUT).new .cache/rehearsal.js
	@mv -f $(OUT).new $(OUT)

check: lint types unit

lint: $(MODULES)
	node_modules/.bin/prettier --log-level warn --check 'src/**/*.ts' 'test/**/*.ts'
	node_modules/.bin/oxlint --config .oxlintrc.json --deny-warnings src test
	@if command -v rustfmt >/dev/null; then cd src/engine && rustfmt --check --edition 2024 main.rs; fi

# Writes code as `make check` wants it.
format: $(MODULES)
	node_modules/.bin/prettier --log-level warn --write 'src/**/*.ts' 'test/**/*.ts'
	@if command -v rustfmt >/dev/null; then cd src/engine && rustfmt --edition 2024 main.rs; fi

types: $(MODULES)
	node_modules/.bin/tsc -p src
	node_modules/.bin/tsc -p .

unit: $(MODULES)
	node_modules/.bin/vitest run --config test/vitest.config.ts --project unit

# Debian packages the tests and the demonstration use; installed when we may, else the line that does it is printed.
packages:
	@test/runner/packages

# The Go reference plugins the tests compare with, where Go is; else Debian's older ones serve.
reference: packages
	@test/runner/reference

test: lint types build reference arm64 $(FUZZ_TARGET)
	@node --import tsx test/runner/run.ts $(ONLY)

# The host and the engine under AddressSanitizer, over a simulated machine: make fuzz INPUTS=1000000 FUZZ="--seed 7".
fuzz: $(FUZZ_TARGET) .cache/podwire.js
	@$(FUZZ_TARGET) .cache/podwire.js test/fuzz/recorded.txt --inputs $(INPUTS) $(FUZZ)

$(FUZZ_TARGET): $(ENGINE_SOURCES) $(wildcard test/fuzz/*.rs) test/fuzz/build
	@mkdir -p $(dir $@)
	@test/fuzz/build $(CARGO) $@

# The same tree for arm64, run by qemu-user; says so where it cannot be built.
arm64: packages $(MODULES)
	@test/runner/arm64 $(CARGO)

demo: build packages
	@test/runner/isolated node --import tsx test/demo.ts

bench: build reference
	@test/runner/isolated node --import tsx test/bench/main.ts

# Copies the executable, makes the plugins' links, and installs what people have; DESTDIR is for packagers.
install: build
	$(RUNNER) $(OUT) install --bin-dir $(DESTDIR)$(BINDIR)
	@mkdir -p $(dir $(DESTDIR)$(COMMAND) $(DESTDIR)$(MANUAL) $(foreach shell,$(SHELLS),$(DESTDIR)$(COMPLETION_$(shell))))
	ln -sfn $(BINDIR)/podwire $(DESTDIR)$(COMMAND)
	$(RUNNER) $(OUT) manual > $(DESTDIR)$(MANUAL)
	$(foreach shell,$(SHELLS),$(RUNNER) $(OUT) completion $(shell) > $(DESTDIR)$(COMPLETION_$(shell)) &&) true

# Undoes it: the plugins that stood there before come back.
uninstall: build
	$(RUNNER) $(OUT) uninstall --bin-dir $(DESTDIR)$(BINDIR)
	rm -f $(addprefix $(DESTDIR),$(COMMAND) $(MANUAL) $(foreach shell,$(SHELLS),$(COMPLETION_$(shell))))

clean:
	rm -rf dist .cache
