package numbers_test

import "os"

// histories is how many random schools a test compares.
func histories() int {
	if os.Getenv("SCHOOLBELL_LONG") != "" {
		return 3000
	}
	return 40
}
