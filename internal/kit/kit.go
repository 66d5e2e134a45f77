// SPDX-License-Identifier: Apache-2.0

// Package kit writes what a user installs besides the binary, from the specs
// of the collectors: scrape configuration, rules and their tests, dashboard,
// units of systemd. Nothing in it knows a collector by name.
package kit
