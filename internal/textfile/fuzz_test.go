// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"strings"
	"testing"
)

// FuzzMarked checks that a text is taken for kernscope's only if it has a mark, at the beginning of a
// line: what else is in the directory belongs to others.
func FuzzMarked(f *testing.F) {
	for _, text := range []string{mark, mark + "up 1\n", " " + mark, "# HELP x y\n" + earlierMark + `collector="diskio"} 1` + "\n", "x " + earlierMark, "", "\n" + mark} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		is := marked(strings.NewReader(text))
		may := strings.HasPrefix(text+"\n", strings.TrimSuffix(mark, "\n")) || strings.HasPrefix(text, earlierMark) || strings.Contains(text, "\n"+earlierMark)
		if is && !may {
			t.Errorf("%q is taken for kernscope's", text)
		}
		if !marked(strings.NewReader(mark + text)) {
			t.Errorf("%q with a mark is taken for another's", text)
		}
	})
}
