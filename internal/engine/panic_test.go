// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/engine/enginetest"
	"github.com/kernscope/kernscope/internal/kerneltest"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
)

// owners panic when they are asked for what the name says.
type owners string

func (o owners) Look(map[string]bool) map[string]bool {
	if o == "look" {
		panic("at the owners")
	}
	return nil
}

func (o owners) Label(string, string) string {
	if o == "label" {
		panic("at the owners")
	}
	return "x"
}

// TestPanicIsTheCollectorsOwn lets every function that a Spec has panic. It checks that the
// collector beside goes on, and that everything ends in order.
func TestPanicIsTheCollectorsOwn(t *testing.T) {
	bad := func() { panic("here") }
	labelled := func(as func() label.Decoder) collector.Spec {
		s := enginetest.Spec()
		s.Tables = []collector.Table{{Map: "enginetest_counts", Labels: []collector.Label{{Name: "x", As: as}}}}
		return s
	}
	owned := func(as func() label.Owners) collector.Spec {
		s := fileops.Spec()
		for i := range s.Tables {
			if s.Tables[i].Owners != nil {
				s.Tables[i].Owners = &collector.Owners{Field: s.Tables[i].Owners.Field, As: as}
			}
		}
		return s
	}
	source := func(open func(context.Context) (collector.Reader, error)) collector.Spec {
		return opened("source", open)
	}
	for name, spec := range map[string]func() collector.Spec{
		"load": func() collector.Spec {
			s := enginetest.Spec()
			s.Load = func() (*ebpf.CollectionSpec, error) { bad(); return nil, nil }
			return s
		},
		"size": func() collector.Spec {
			s := enginetest.Spec()
			s.Tables = []collector.Table{{Map: "enginetest_counts", Size: func() (uint32, error) { bad(); return 0, nil }}}
			return s
		},
		"making a decoder": func() collector.Spec { return labelled(func() label.Decoder { bad(); return nil }) },
		"no decoder":       func() collector.Spec { return labelled(func() label.Decoder { return nil }) },
		"decoding":         func() collector.Spec { return labelled(func() label.Decoder { return decoder(bad) }) },
		"making owners":    func() collector.Spec { return owned(func() label.Owners { bad(); return nil }) },
		"no owners":        func() collector.Spec { return owned(func() label.Owners { return nil }) },
		"looking":          func() collector.Spec { return owned(func() label.Owners { return owners("look") }) },
		"naming":           func() collector.Spec { return owned(func() label.Owners { return owners("label") }) },
		"opening": func() collector.Spec {
			return source(func(context.Context) (collector.Reader, error) { bad(); return nil, nil })
		},
		"reading": func() collector.Spec {
			return source(func(context.Context) (collector.Reader, error) {
				return collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) { bad(); return nil, nil }), nil
			})
		},
		"closing": func() collector.Spec {
			return source(func(context.Context) (collector.Reader, error) {
				return reader{answersSeven, func() error { bad(); return nil }}, nil
			})
		},
		"samples": func() collector.Spec {
			s := source(func(context.Context) (collector.Reader, error) {
				return collector.ReadFunc(func(context.Context) (map[string][]metric.Sample, error) {
					return map[string][]metric.Sample{"from_source_total": {{Linear: &metric.Linear{Highest: -7}}}}, nil
				}), nil
			})
			s.Metrics[0].Kind = collector.LinearHistogram
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := spec()
			spec.Name = "panics"
			good := enginetest.Spec()
			cfg := config(t, spec, good)
			cfg.Options = map[string]collector.Value{
				"enginetest.process": os.Getpid(), "panics.process": os.Getpid(), "panics.cgroups": true,
			}
			e := engine.New(cfg)
			defer e.Close()
			e.Follow()
			for range 2 {
				call(1, 0)
				families, err := e.Families(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = metric.Families(families).Gather()
				_ = e.Check()
				e.EndWindow()
			}
			numbers := kerneltest.Read(t, e)
			states := e.States()
			fails := states[0].Status == engine.Failed
			if wants := name != "closing" && name != "samples"; fails != wants || strings.Contains(states[0].Reason, "\n") {
				t.Errorf("state %+v", states[0])
			}
			if states[1].Status != engine.Running || numbers.Value("kernscope_collector_success", "collector=enginetest") != 1 {
				t.Errorf("state %+v", states[1])
			}
			for what, do := range map[string]func() error{
				"stop":  func() error { return e.Stop(t.Context(), "panics") },
				"start": func() error { return e.Start(t.Context(), "panics") },
			} {
				if err := do(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestReasonIsText checks that an error that is not UTF-8 does not keep the states of all
// collectors from being served, which are one family.
func TestReasonIsText(t *testing.T) {
	e := engine.New(config(t, opened("garbled", func(context.Context) (collector.Reader, error) {
		return nil, errors.New("no pool \xff")
	}), opened("well", func(context.Context) (collector.Reader, error) { return collector.ReadFunc(answersSeven), nil })))
	defer e.Close()
	families, err := e.Families(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := metric.Families(families).Gather(); err != nil {
		t.Error(err)
	}
}
