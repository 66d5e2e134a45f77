// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Folders returns the folders of a web configuration file and of the files that it names, where they
// are and where links lead; "" is no file. The server reads the file anew at every request, and what
// it names at every handshake, so that certificates can be replaced while it serves.
func Folders(webConfig string) ([]string, error) {
	if webConfig == "" {
		return nil, nil
	}
	text, err := os.ReadFile(webConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the web configuration file: %w", err)
	}
	var named struct {
		TLS struct {
			Cert      string `yaml:"cert_file"`
			Key       string `yaml:"key_file"`
			ClientCAs string `yaml:"client_ca_file"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &named); err != nil {
		return nil, fmt.Errorf("reading the web configuration file %s: %w", webConfig, err)
	}
	var folders []string
	for _, file := range []string{webConfig, named.TLS.Cert, named.TLS.Key, named.TLS.ClientCAs} {
		if file == "" {
			continue
		}
		if !filepath.IsAbs(file) && file != webConfig {
			file = filepath.Join(filepath.Dir(webConfig), file)
		}
		folders = append(folders, filepath.Dir(file))
		if target, err := filepath.EvalSymlinks(file); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders), nil
}
