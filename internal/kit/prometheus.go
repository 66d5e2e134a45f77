// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"net"
	"slices"
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
	// JobOnly is for a Prometheus that has a configuration already, which
	// includes the job by scrape_config_files.
	JobOnly bool
}

// config is Prometheus' configuration.
type config struct {
	Global        *globalConfig   `yaml:"global,omitempty"`
	RuleFiles     []string        `yaml:"rule_files,omitempty"`
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
// of the specs, and node_exporter, which serves textfiles. A host, Alertmanager
// or layout that is none is an error that names it.
func Prometheus(specs []collector.Spec, s Scrape) ([]byte, error) {
	groups, err := s.groups(specs)
	if err != nil {
		return nil, err
	}
	textfiles, err := addresses(s.Hosts, nodeExporterPort)
	if err != nil {
		return nil, err
	}
	alerting, err := s.alerting()
	if err != nil {
		return nil, err
	}
	// The instance is the host, whatever the port: so a host is one in
	// dashboards and alerts, and the same in both layouts.
	instance := []relabelConfig{{SourceLabels: []string{"__address__"}, Regex: `(.+):\d+`, TargetLabel: "instance"}}
	kernscope := scrapeConfig{JobName: job, Native: s.Native, StaticConfigs: groups, RelabelConfigs: instance}
	if s.JobOnly {
		return write(s.command(), specs, config{ScrapeConfigs: []scrapeConfig{kernscope}},
			s.notes("Prometheus reads it by scrape_config_files, the rules by rule_files.")...)
	}
	node := scrapeConfig{JobName: "node", StaticConfigs: []targetGroup{{Targets: textfiles}}, RelabelConfigs: instance}
	c := config{
		Global:        &globalConfig{ScrapeInterval: "15s", EvaluationInterval: "15s"},
		RuleFiles:     []string{RulesFile},
		Alerting:      alerting,
		ScrapeConfigs: []scrapeConfig{kernscope, node},
	}
	return write(s.command(), specs, c, s.notes("The job node is node_exporter, which serves what kernscope textfile writes.")...)
}

// command returns the command that prints the same again. Without --target it is
// this host that is scraped.
func (s Scrape) command() string {
	words := []string{"prometheus", "--layout=" + string(s.Layout)}
	if !slices.Equal(s.Hosts, []string{"localhost"}) {
		for _, host := range s.Hosts {
			words = append(words, "--target="+host)
		}
	}
	for _, address := range s.Alertmanagers {
		words = append(words, "--alertmanager="+address)
	}
	if !s.Native {
		words = append(words, "--no-native-histograms")
	}
	if s.JobOnly {
		words = append(words, "--job-only")
	}
	return strings.Join(words, " ")
}

// groups returns kernscope's targets.
func (s Scrape) groups(specs []collector.Spec) ([]targetGroup, error) {
	switch s.Layout {
	case OnePort:
		all, err := addresses(s.Hosts, Port)
		return []targetGroup{{Targets: all}}, err
	case PerCollector:
		var groups []targetGroup
		for _, spec := range specs {
			if spec.Port == 0 {
				continue
			}
			own, err := addresses(s.Hosts, spec.Port)
			if err != nil {
				return nil, err
			}
			// Targets of one job and instance need another label to differ
			// by; "collector" is one that metrics have.
			groups = append(groups, targetGroup{Targets: own, Labels: map[string]string{"exporter": spec.Name}})
		}
		if len(groups) == 0 {
			return nil, fmt.Errorf("layout %s: no collector has a port of its own", PerCollector)
		}
		return groups, nil
	}
	return nil, fmt.Errorf("layout %q is neither %q nor %q", s.Layout, OnePort, PerCollector)
}

// alerting returns the section about Alertmanagers; nil without any.
func (s Scrape) alerting() (*alertingConfig, error) {
	if len(s.Alertmanagers) == 0 {
		return nil, nil
	}
	if s.JobOnly {
		return nil, errors.New("the job alone cannot name an Alertmanager")
	}
	for _, address := range s.Alertmanagers {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("alertmanager %q: %w", address, err)
		}
		if strings.ContainsAny(address, "/@ \t\n") {
			return nil, fmt.Errorf("alertmanager %q: it takes host and port", address)
		}
	}
	return &alertingConfig{Alertmanagers: []alertmanagerConfig{{
		StaticConfigs: []targetGroup{{Targets: s.Alertmanagers}},
	}}}, nil
}

// notes returns what the reader should know, besides the note given.
func (s Scrape) notes(note string) []string {
	if !s.Native {
		return []string{note}
	}
	return []string{
		note,
		"Prometheus before 3.8 does not know scrape_native_histograms: leave that line out there (--no-native-histograms).",
		"Rules and dashboard work with classic histograms as well.",
	}
}

// addresses returns the addresses of a port on all hosts.
func addresses(hosts []string, port uint16) ([]string, error) {
	if len(hosts) == 0 {
		return nil, errors.New("no host to scrape")
	}
	var all []string
	for _, host := range hosts {
		bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		isAddress := net.ParseIP(bare) != nil
		if !isAddress && (bare == "" || strings.ContainsAny(host, ":/@[] \t\n")) {
			return nil, fmt.Errorf("%q is no host: it takes a name or an address, without port", host)
		}
		all = append(all, net.JoinHostPort(bare, fmt.Sprint(port)))
	}
	return all, nil
}
