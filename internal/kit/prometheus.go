// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"net"
	"strings"

	"github.com/kernscope/kernscope/collector"
)

// Layout is on which ports the collectors are served.
type Layout string

// The layouts.
const (
	// OnePort is kernscope serving all of them.
	OnePort Layout = "one-port"
	// PerCollector is a kernscope for each collector, on its own port.
	PerCollector Layout = "per-collector"
)

const (
	// Port is where several collectors are served together.
	Port = 9436
	// nodeExporterPort is where textfiles are served.
	nodeExporterPort = 9100
	// scrapeInterval is Prometheus' for all of them.
	scrapeInterval = "15s"
)

// Scrape says how Prometheus is to scrape.
type Scrape struct {
	Layout Layout
	// Hosts to scrape: names or addresses, without ports.
	Hosts []string
	// Native asks for native histograms too, which takes Prometheus 3.8.
	Native bool
	// Alertmanagers are addresses with ports; there may be none.
	Alertmanagers []string
}

// config is Prometheus' configuration.
type config struct {
	Global        globalConfig    `yaml:"global"`
	RuleFiles     []string        `yaml:"rule_files"`
	Alerting      *alertingConfig `yaml:"alerting,omitempty"`
	ScrapeConfigs []scrapeConfig  `yaml:"scrape_configs"`
}

type globalConfig struct {
	ScrapeInterval     string `yaml:"scrape_interval"`
	EvaluationInterval string `yaml:"evaluation_interval"`
}

type alertingConfig struct {
	Alertmanagers []alertmanagerConfig `yaml:"alertmanagers"`
}

type alertmanagerConfig struct {
	StaticConfigs []targetGroup `yaml:"static_configs"`
}

type scrapeConfig struct {
	JobName        string          `yaml:"job_name"`
	Native         bool            `yaml:"scrape_native_histograms,omitempty"`
	StaticConfigs  []targetGroup   `yaml:"static_configs"`
	RelabelConfigs []relabelConfig `yaml:"relabel_configs"`
}

type targetGroup struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels,omitempty"`
}

type relabelConfig struct {
	SourceLabels []string `yaml:"source_labels,flow"`
	Regex        string   `yaml:"regex"`
	TargetLabel  string   `yaml:"target_label"`
}

// Prometheus writes a configuration of Prometheus that scrapes the collectors
// of the specs and node_exporter, which serves textfiles. A host, Alertmanager
// or layout that is none is an error that names it.
func Prometheus(specs []collector.Spec, s Scrape) ([]byte, error) {
	// The instance is the host, whatever the port: so a host is one in
	// dashboards and alerts, and the same in both layouts.
	instance := []relabelConfig{{SourceLabels: []string{"__address__"}, Regex: `(.+):\d+`, TargetLabel: "instance"}}
	kernscope := scrapeConfig{JobName: job, Native: s.Native, RelabelConfigs: instance}
	node := scrapeConfig{JobName: "node", RelabelConfigs: instance}

	everything, err := targets(s.Hosts, Port)
	if err != nil {
		return nil, err
	}
	switch s.Layout {
	case OnePort:
		kernscope.StaticConfigs = []targetGroup{{Targets: everything}}
	case PerCollector:
		// Targets of one job and instance need another label to differ by;
		// "collector" is one that metrics have.
		for _, spec := range specs {
			if spec.Port == 0 {
				return nil, fmt.Errorf("%s has no port of its own", spec.Name)
			}
			own, err := targets(s.Hosts, spec.Port)
			if err != nil {
				return nil, err
			}
			kernscope.StaticConfigs = append(kernscope.StaticConfigs,
				targetGroup{Targets: own, Labels: map[string]string{"exporter": spec.Name}})
		}
	default:
		return nil, fmt.Errorf("layout %q is neither %q nor %q", s.Layout, OnePort, PerCollector)
	}
	textfiles, err := targets(s.Hosts, nodeExporterPort)
	if err != nil {
		return nil, err
	}
	node.StaticConfigs = []targetGroup{{Targets: textfiles}}

	c := config{
		Global:        globalConfig{ScrapeInterval: scrapeInterval, EvaluationInterval: scrapeInterval},
		RuleFiles:     []string{RulesFile},
		ScrapeConfigs: []scrapeConfig{kernscope, node},
	}
	for _, address := range s.Alertmanagers {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("alertmanager %q: %w", address, err)
		}
	}
	if len(s.Alertmanagers) > 0 {
		c.Alerting = &alertingConfig{Alertmanagers: []alertmanagerConfig{{
			StaticConfigs: []targetGroup{{Targets: s.Alertmanagers}},
		}}}
	}
	return write("prometheus --layout="+string(s.Layout), specs, c, scrapeNotes(s)...)
}

func scrapeNotes(s Scrape) []string {
	var notes []string
	if s.Native {
		notes = append(notes,
			"Prometheus before 3.8 does not know scrape_native_histograms: leave these lines out (--no-native-histograms).",
			"Rules and dashboard work with classic histograms as well.")
	}
	return append(notes,
		"The job node is node_exporter, which serves what kernscope textfile writes. Who has such a job keeps it.")
}

// targets are the addresses of a port on all hosts.
func targets(hosts []string, port uint16) ([]string, error) {
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no host to scrape")
	}
	var addresses []string
	for _, host := range hosts {
		bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		isAddress := net.ParseIP(bare) != nil
		if !isAddress && (bare == "" || strings.ContainsAny(host, ":/@[] \t\n")) {
			return nil, fmt.Errorf("%q is no host: it takes a name or an address, without port", host)
		}
		addresses = append(addresses, net.JoinHostPort(bare, fmt.Sprint(port)))
	}
	return addresses, nil
}
