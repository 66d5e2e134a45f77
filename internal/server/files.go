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
	named, err := named(webConfig)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, file := range append(named, webConfig) {
		folders = append(folders, filepath.Dir(file))
		if target, err := filepath.EvalSymlinks(file); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders), nil
}

// named returns the files that a web configuration file names.
func named(webConfig string) ([]string, error) {
	text, err := os.ReadFile(webConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the web configuration file: %w", err)
	}
	var config struct {
		TLS struct {
			Cert      string `yaml:"cert_file"`
			Key       string `yaml:"key_file"`
			ClientCAs string `yaml:"client_ca_file"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("reading the web configuration file %s: %w", webConfig, err)
	}
	var files []string
	for _, file := range []string{config.TLS.Cert, config.TLS.Key, config.TLS.ClientCAs} {
		if file == "" {
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(webConfig), file)
		}
		files = append(files, file)
	}
	return files, nil
}
