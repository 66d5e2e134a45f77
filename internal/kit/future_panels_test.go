// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"slices"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/builtin"
)

// described are the collectors whose panels and alerts the tests describe. Another
// one in the tree is no matter of theirs.
func described() []collector.Spec {
	names := []string{"cachestat", "diskio", "fileops", "memory", "schedlat", "syscall", "tcp-retransmit"}
	return slices.DeleteFunc(builtin.Collectors(), func(s collector.Spec) bool { return !slices.Contains(names, s.Name) })
}

// everything is the described collectors and those to come. These, which only this
// file has, show that a Spec is enough for a panel.
func everything() []collector.Spec {
	return append(described(), arcPanels(), txgPanels(), zioPanels(), metaslabPanels(), wireguardPanels())
}

func family(kind collector.Kind, name string, labels ...string) collector.Metric {
	m := collector.Metric{Name: name, Help: name, Kind: kind}
	for _, l := range labels {
		m.Labels = append(m.Labels, collector.Label{Name: l})
	}
	return m
}

// ratios are the thresholds of a hit ratio.
func ratios() []collector.Threshold {
	return []collector.Threshold{{From: 0, Color: "red"}, {From: 0.9, Color: "yellow"}, {From: 0.95, Color: "green"}}
}

func arcPanels() collector.Spec {
	return collector.Spec{
		Name: "zfs-arc", Port: 9110,
		Metrics: []collector.Metric{family(collector.Counter, "ebpf_zfs_arc_hits_total"), family(collector.Counter, "ebpf_zfs_arc_misses_total")},
		Panels: []collector.Panel{{
			Row: collector.RowZFS, Place: 1, Type: "gauge", Unit: "percentunit",
			Title: "ARC hit ratio", Description: "What part of the reads the ARC served.",
			Queries: []collector.Query{{
				Expr: `sum by (instance) (rate(ebpf_zfs_arc_hits_total[$__rate_interval]))
/ (sum by (instance) (rate(ebpf_zfs_arc_hits_total[$__rate_interval])) + sum by (instance) (rate(ebpf_zfs_arc_misses_total[$__rate_interval])) > 0)`,
				Legend: "{{instance}}",
			}},
			Thresholds: ratios(),
		}},
	}
}

func txgPanels() collector.Spec {
	return collector.Spec{
		Name: "zfs-txg", Port: 9112,
		Metrics: []collector.Metric{
			family(collector.Histogram, "ebpf_zfs_txg_sync", "pool"),
			family(collector.Counter, "ebpf_zfs_txg_last_sync", "pool"),
		},
		Panels: []collector.Panel{{
			Row: collector.RowZFS, Place: 2, Type: "timeseries", Unit: "s",
			Title: "TXG sync", Description: "How long transaction groups took to reach the disks.",
			Queries: []collector.Query{
				{Expr: `{{quantile 0.5 "ebpf_zfs_txg_sync" "$__rate_interval" "instance" "pool"}}`, Legend: "{{instance}} {{pool}} p50"},
				{Expr: `{{quantile 0.99 "ebpf_zfs_txg_sync" "$__rate_interval" "instance" "pool"}}`, Legend: "{{instance}} {{pool}} p99"},
				{Expr: `max by (instance, pool) ({{seconds "ebpf_zfs_txg_last_sync"}})`, Legend: "{{instance}} {{pool}} last"},
			},
			Thresholds: []collector.Threshold{{From: 0, Color: "green"}, {From: 3, Color: "red"}},
		}},
	}
}

func zioPanels() collector.Spec {
	spec := collector.Spec{Name: "zfs-zio", Port: 9111}
	panel := collector.Panel{
		Row: collector.RowZFS, Place: 3, Type: "timeseries", Unit: "s", Log: true,
		Title: "ZIO latency p99", Description: "One of a hundred I/Os of a type takes longer.",
	}
	for _, t := range []string{"read", "write", "free"} {
		name := "ebpf_zfs_zio_" + t + "_latency"
		spec.Metrics = append(spec.Metrics, family(collector.Histogram, name, "pool"))
		panel.Queries = append(panel.Queries, collector.Query{
			Expr:   `{{quantile 0.99 "` + name + `" "$__rate_interval" "instance" "pool"}}`,
			Legend: "{{instance}} {{pool}} " + t,
		})
	}
	spec.Panels = []collector.Panel{panel}
	return spec
}

func metaslabPanels() collector.Spec {
	return collector.Spec{
		Name: "zfs-metaslab", Port: 9113,
		Metrics: []collector.Metric{family(collector.Histogram, "ebpf_zfs_metaslab_alloc", "pool")},
		Panels: []collector.Panel{{
			Row: collector.RowZFS, Place: 4, Type: "timeseries", Unit: "s",
			Title: "Metaslab allocation p99", Description: "One of a hundred allocations takes longer.",
			Queries: []collector.Query{{
				Expr: `{{quantile 0.99 "ebpf_zfs_metaslab_alloc" "$__rate_interval" "instance" "pool"}}`, Legend: "{{instance}} {{pool}}",
			}},
		}},
	}
}

func wireguardPanels() collector.Spec {
	return collector.Spec{
		Name: "wireguard", Port: 9115,
		Metrics: []collector.Metric{
			family(collector.Counter, "ebpf_wireguard_bytes_total", "interface", "peer", "direction"),
			family(collector.Counter, "ebpf_wireguard_handshake_age_seconds", "interface", "peer"),
		},
		Panels: []collector.Panel{
			{
				Row: collector.RowNetwork, Place: 2, Type: "timeseries", Unit: "Bps", Stacked: true,
				Title: "WireGuard traffic", Description: "Bytes per second that the tunnels carried.",
				Queries: []collector.Query{{
					Expr:   `sum by (instance, interface, direction) (rate(ebpf_wireguard_bytes_total[$__rate_interval]))`,
					Legend: "{{instance}} {{interface}} {{direction}}",
				}},
			},
			{
				Row: collector.RowNetwork, Place: 3, Type: "bargauge", Unit: "s",
				Title: "WireGuard handshake age", Description: "Time since each peer's last handshake; an active one has a new one every two minutes.",
				Queries: []collector.Query{{
					Expr: `max by (instance, interface, peer) (ebpf_wireguard_handshake_age_seconds)`, Legend: "{{instance}} {{interface}} {{peer}}",
				}},
				Thresholds: []collector.Threshold{{From: 0, Color: "green"}, {From: 120, Color: "yellow"}, {From: 180, Color: "red"}},
			},
		},
	}
}
