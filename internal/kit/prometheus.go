// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"fmt"
	"net"
	"slices"

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
	// Hosts that serve kernscope: names or addresses, without ports.
	Hosts []string
	// Textfiles are hosts that write textfiles, which their node_exporter serves.
	Textfiles []string
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
func Prometheus(a Asked, s Scrape) ([]byte, error) {
	if err := s.normalize(); err != nil {
		return nil, err
	}
	groups, err := s.groups(a.Specs)
	if err != nil {
		return nil, err
	}
	// The instance is the host, whatever the port: so a host is one in
	// dashboards and alerts, and the same in both layouts.
	instance := []relabelConfig{{SourceLabels: []string{"__address__"}, Regex: `(.+):\d+`, TargetLabel: "instance"}}
	var jobs []scrapeConfig
	if len(s.Hosts) > 0 {
		jobs = append(jobs, scrapeConfig{JobName: job, Native: s.Native, StaticConfigs: groups, RelabelConfigs: instance})
	}
	if s.JobOnly {
		return a.write(a.command(s.words()...), config{ScrapeConfigs: jobs},
			s.notes("Prometheus reads it by scrape_config_files, the rules by rule_files.")...)
	}
	jobs = append(jobs, scrapeConfig{JobName: "node", StaticConfigs: s.nodes(), RelabelConfigs: instance})
	c := config{
		Global:        &globalConfig{ScrapeInterval: scrapeInterval, EvaluationInterval: scrapeInterval},
		RuleFiles:     []string{RulesFile},
		ScrapeConfigs: jobs,
	}
	if len(s.Alertmanagers) > 0 {
		c.Alerting = &alertingConfig{Alertmanagers: []alertmanagerConfig{{
			StaticConfigs: []targetGroup{{Targets: s.Alertmanagers}},
		}}}
	}
	return a.write(a.command(s.words()...), c, s.notes(
		"The job node is node_exporter, which serves what kernscope textfile writes. An alert watches that the hosts",
		"labelled exporter: "+textfileExporter+" (--textfile-target) serve such files.")...)
}

// normalize checks what the user wrote.
func (s *Scrape) normalize() (err error) {
	if s.Hosts, err = each("target", s.Hosts, host); err != nil {
		return err
	}
	if s.Textfiles, err = each("textfile-target", s.Textfiles, host); err != nil {
		return err
	}
	if s.Alertmanagers, err = each("alertmanager", s.Alertmanagers, hostPort); err != nil {
		return err
	}
	switch {
	case len(s.Hosts) == 0 && len(s.Textfiles) == 0:
		return errors.New("no host to scrape")
	case s.JobOnly && len(s.Alertmanagers) > 0:
		return errors.New("flag --job-only: the job alone cannot name an Alertmanager")
	case s.JobOnly && len(s.Textfiles) > 0:
		return errors.New("flag --job-only: textfiles are scraped by your job of node_exporter: give its targets that write them the label exporter=" + textfileExporter)
	}
	return nil
}

// words returns the words of the command that prints the same again. Without a host it
// is this one that is scraped.
func (s Scrape) words() []string {
	words := []string{"prometheus", "--layout=" + string(s.Layout)}
	if len(s.Textfiles) > 0 || !slices.Equal(s.Hosts, []string{"localhost"}) {
		for _, host := range s.Hosts {
			words = append(words, "--target="+host)
		}
	}
	for _, host := range s.Textfiles {
		words = append(words, "--textfile-target="+host)
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
	return words
}

// groups returns kernscope's targets.
func (s Scrape) groups(specs []collector.Spec) ([]targetGroup, error) {
	switch s.Layout {
	case OnePort:
		return []targetGroup{{Targets: addresses(s.Hosts, Port)}}, nil
	case PerCollector:
		var groups []targetGroup
		for _, spec := range specs {
			if spec.Port == 0 {
				continue
			}
			// Targets of one job and instance need another label to differ
			// by; "collector" is one that metrics have.
			groups = append(groups, targetGroup{Targets: addresses(s.Hosts, spec.Port), Labels: map[string]string{"exporter": spec.Name}})
		}
		if len(groups) == 0 {
			return nil, fmt.Errorf("layout %s: no collector has a port of its own", PerCollector)
		}
		return groups, nil
	}
	return nil, fmt.Errorf("layout %q is neither %q nor %q", s.Layout, OnePort, PerCollector)
}

// nodes returns node_exporter's targets. Each host is there once.
func (s Scrape) nodes() (groups []targetGroup) {
	plain := slices.DeleteFunc(slices.Clone(s.Hosts), func(host string) bool { return slices.Contains(s.Textfiles, host) })
	if len(plain) > 0 {
		groups = append(groups, targetGroup{Targets: addresses(plain, nodeExporterPort)})
	}
	if len(s.Textfiles) > 0 {
		groups = append(groups, targetGroup{
			Targets: addresses(s.Textfiles, nodeExporterPort), Labels: map[string]string{"exporter": textfileExporter},
		})
	}
	return groups
}

// notes returns what the reader should know, besides the notes given.
func (s Scrape) notes(notes ...string) []string {
	if !s.Native || len(s.Hosts) == 0 {
		return notes
	}
	return append(notes,
		"Prometheus before 3.8 does not know scrape_native_histograms: leave that line out there (--no-native-histograms).",
		"Rules and dashboard work with classic histograms as well.")
}

// addresses returns the addresses of a port on all hosts.
func addresses(hosts []string, port uint16) (all []string) {
	for _, host := range hosts {
		all = append(all, net.JoinHostPort(host, fmt.Sprint(port)))
	}
	return all
}
