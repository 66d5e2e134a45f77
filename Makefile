# SPDX-License-Identifier: Apache-2.0
#
# Short names for the scripts. The scripts also run without make.

.DEFAULT_GOAL := help
.PHONY: help build package reproduce vulnerabilities run gen test fuzz test-vm test-e2e test-systemd test-bare test-all accuracy bench lint

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## build ./kernscope, one static binary
	scripts/build

package: ## build .deb and .rpm for amd64 and arm64 into dist/
	scripts/package

reproduce: ## package the last commit twice, and compare
	scripts/reproduce

vulnerabilities: ## ask govulncheck for known faults of what the program calls
	scripts/vulnerabilities

run: ## build, serve, and print this machine's numbers (root)
	scripts/run

gen: ## regenerate the committed files: BPF objects, tables, deploy/ (clang-19)
	scripts/gen

test: ## run all tests that this machine's kernel can run (root)
	scripts/test

fuzz: ## try made-up texts on every parser of what comes from outside
	scripts/fuzz

test-vm: ## run the same tests on every kernel of the matrix, under QEMU (root)
	scripts/test-vm $(KERNELS)

test-bare: ## run the README's two commands on bare machines: roots of Debian 12 and 13 (root)
	test/bare/run

test-all: ## run everything that CI can test (root)
	.ci/run --all

accuracy: ## compare with independent sources on every kernel; write docs/ACCURACY.md (root)
	scripts/accuracy

test-e2e: ## follow an alert through a real Prometheus, Alertmanager and node_exporter (root)
	test/e2e/run

test-systemd: ## use the package as a user does, under a real systemd in QEMU (root)
	test/systemd/run

bench: ## measure cost per event, scrape and memory; write docs/OVERHEAD.md (root)
	scripts/bench

lint: ## run gofmt, vet, staticcheck, clang-format and shellcheck
	scripts/lint
