// SPDX-License-Identifier: Apache-2.0

package kit

// DashboardFile is the dashboard's name where packages install it, in
// dashboardFolder.
const (
	DashboardFile   = "kernscope.json"
	dashboardFolder = "/usr/share/kernscope/grafana"
)

// Provisioning returns what makes Grafana read the dashboard from a disk and ask a
// Prometheus of the same machine: files by their path in Grafana's folder
// "provisioning".
func Provisioning() map[string][]byte {
	return map[string][]byte{
		"dashboards/kernscope.yml": []byte(`# Grafana reads the dashboard from the folder where kernscope's packages put it.
# For /etc/grafana/provisioning/dashboards.
apiVersion: 1
providers:
  - name: kernscope
    type: file
    options:
      path: ` + dashboardFolder + `
`),
		"datasources/kernscope.yml": []byte(`# A Prometheus on Grafana's own machine. Who has a data source already needs
# none: the dashboard offers all there are.
# For /etc/grafana/provisioning/datasources.
apiVersion: 1
datasources:
  - name: Prometheus
    type: prometheus
    access: proxy
    url: http://localhost:9090
    jsonData:
      httpMethod: POST
      # Prometheus' scrape interval: Grafana asks for rates over four of them at least.
      timeInterval: ` + scrapeInterval + `
`),
	}
}
