// SPDX-License-Identifier: Apache-2.0

package kit

const (
	// gridWidth is what Grafana divides the page into.
	gridWidth   = 24
	panelHeight = 8
	// fullLine is the weight of panels that fill a line: four ordinary ones.
	fullLine = 8
)

// box is a place on Grafana's grid.
type box struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// arrange puts the panels of one row into lines that fill the page, by the
// weight of their types. It returns their boxes and where the last line ends.
func arrange(panels []placed, top int) (boxes []box, bottom int) {
	for len(panels) > 0 {
		n, total := 0, 0
		for n < len(panels) && (n == 0 || total+kinds[panels[n].Type].weight <= fullLine) {
			total += kinds[panels[n].Type].weight
			n++
		}
		left, sum := 0, 0
		for _, p := range panels[:n] {
			sum += kinds[p.Type].weight
			right := (gridWidth*sum + total/2) / total
			boxes = append(boxes, box{X: left, Y: top, W: right - left, H: panelHeight})
			left = right
		}
		panels, top = panels[n:], top+panelHeight
	}
	return boxes, top
}
