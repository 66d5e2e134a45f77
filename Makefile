# SPDX-License-Identifier: Apache-2.0
#
# Names for the scripts, which also run without make.

.DEFAULT_GOAL := help
.PHONY: help build package run gen test test-vm test-e2e test-systemd test-bare test-all accuracy bench lint

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build ./kernscope, one static binary
	scripts/build

package: ## build .deb and .rpm for amd64 and arm64 into dist/
	scripts/package

run: ## build, serve, and show this machine's numbers (root)
	scripts/run

gen: ## regenerate what is committed: BPF objects, tables, docs (clang-19)
	scripts/gen

test: ## all tests that run on this machine's own kernel (root)
	scripts/test

test-vm: ## the same tests on every kernel of the matrix, under QEMU (root)
	scripts/test-vm $(KERNELS)

test-bare: ## the README's first commands on bare machines: roots of Debian 12 and 13 (root)
	test/bare/run

test-all: ## everything that CI can test, all of it (root)
	.ci/run --all

accuracy: ## compare with independent sources on every kernel; writes docs/ACCURACY.md (root)
	scripts/accuracy

test-e2e: ## the way of an alert, with real Prometheus, Alertmanager and node_exporter (root)
	test/e2e/run

test-systemd: ## what users do with the package, under a real systemd in QEMU (root)
	test/systemd/run

bench: ## measure cost per event, scrape and memory; writes docs/OVERHEAD.md (root)
	scripts/bench

lint: ## gofmt, vet, staticcheck, clang-format, shellcheck
	scripts/lint
