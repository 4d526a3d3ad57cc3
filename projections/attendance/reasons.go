package attendance

import (
	"slices"
	"strings"
)

// The reasons of a month's marks are one text, apart from the sheet, which most queries read alone:
// "02day", a tab, the reason and a line break for each mark that has one, sorted.

// withReason returns the reasons with that of a mark, whose earlier one it replaces.
func withReason(reasons string, m *mark, reason string) string {
	slot := string([]byte{'0' + byte(m.day/10), '0' + byte(m.day%10)}) + m.session + "\t"
	reason = strings.Join(strings.Fields(reason), " ")
	if reason == "" && reasons == "" {
		return ""
	}
	var lines []string
	for line := range strings.Lines(reasons) {
		if !strings.HasPrefix(line, slot) {
			lines = append(lines, line)
		}
	}
	if reason != "" {
		lines = append(lines, slot+reason+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// eachReason calls visit with every reason.
func eachReason(reasons string, visit func(day int, session, reason string)) {
	for line := range strings.Lines(reasons) {
		slot, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if len(slot) > 2 {
			visit(int(slot[0]-'0')*10+int(slot[1]-'0'), slot[2:], reason)
		}
	}
}
